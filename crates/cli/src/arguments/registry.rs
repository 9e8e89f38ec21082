//! Flags of the commands about registries.

use clap::Args;

#[derive(Args)]
pub(crate) struct LoginArguments {
    /// Password
    #[arg(short, long, value_name = "PASSWORD")]
    pub(crate) password: Option<String>,
    /// Take the password from stdin
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Username
    #[arg(short, long, value_name = "USER")]
    pub(crate) username: Option<String>,
    #[arg(value_name = "SERVER")]
    pub(crate) server: Option<String>,
}

/// A password appears in no log.
impl std::fmt::Debug for LoginArguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginArguments")
            .field("username", &self.username)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Args)]
pub(crate) struct LogoutArguments {
    #[arg(value_name = "SERVER")]
    pub(crate) server: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SearchArguments {
    /// Filter output based on conditions provided (e.g. "stars=3", "is-official=true")
    #[arg(short, long, value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Max number of search results
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) limit: Option<i64>,
    /// Don't truncate output
    #[arg(long)]
    pub(crate) no_trunc: bool,
    #[arg(value_name = "TERM")]
    pub(crate) term: String,
}
