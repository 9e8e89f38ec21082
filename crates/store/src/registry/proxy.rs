//! The proxies that the environment names for the way to registries: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and
//! `NO_PROXY`, in capitals or not, as curl reads them. The connections read them by themselves and pass over what they
//! do not understand; here is told what they passed over.

use std::net::IpAddr;

use http::Uri;

/// What stands in the place of a name and a password, as in moby (`daemon/info.go`).
const MASK: &str = "xxxxx:xxxxx";

/// The proxies as they are written; `None` where there is nothing but white space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For registries without TLS.
    pub http: Option<String>,
    /// For registries with TLS.
    pub https: Option<String>,
    /// Hosts that are reached past the proxy.
    pub no: Option<String>,
}

impl Proxies {
    /// Those of this process.
    pub fn from_environment() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// `variable` tells what one is, if it is set: the first that is set counts, even with nothing in it.
    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&str; 2]| names.into_iter().find_map(&variable);
        let some = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let all = some(first(["ALL_PROXY", "all_proxy"]));
        let or_all = |proxy: Option<String>| some(proxy).or_else(|| all.clone());
        Self {
            http: or_all(first(["HTTP_PROXY", "http_proxy"])),
            https: or_all(first(["HTTPS_PROXY", "https_proxy"])),
            no: some(first(["NO_PROXY", "no_proxy"])),
        }
    }

    /// The same without names and passwords.
    pub fn masked(&self) -> Self {
        Self {
            http: self.http.as_deref().map(masked),
            https: self.https.as_deref().map(masked),
            no: self.no.clone(),
        }
    }

    /// Each that is not as it should be, with its name and what is wrong; no secret is in it.
    pub fn flaws(&self) -> Vec<String> {
        let proxies = [("HTTP_PROXY", &self.http), ("HTTPS_PROXY", &self.https)];
        let proxies = proxies.into_iter().filter_map(|(name, proxy)| {
            let proxy = proxy.as_deref()?;
            let reason = flaw(proxy)?;
            Some(format!("{name} is {:?}, {reason}", masked(proxy)))
        });
        let no = self.no.iter().flat_map(|no| no.split(',').map(str::trim));
        let no = no.filter_map(|entry| Some(format!("NO_PROXY has {entry:?}, {}", entry_flaw(entry)?)));
        proxies.chain(no).collect()
    }

    /// Host and port of each proxy that can be used, sorted.
    pub fn addresses(&self) -> Vec<(String, u16)> {
        let proxies = [&self.http, &self.https].into_iter().flatten();
        let mut addresses: Vec<_> = proxies.filter_map(|proxy| address(proxy)).collect();
        addresses.sort();
        addresses.dedup();
        addresses
    }
}

/// A proxy's URL without what stands before the `@`. One that is malformed may have its password anywhere before that.
fn masked(proxy: &str) -> String {
    match proxy.rsplit_once('@') {
        None => proxy.to_owned(),
        Some((before, after)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            let separator = if scheme.is_empty() { "" } else { "://" };
            format!("{scheme}{separator}{MASK}@{after}")
        }
    }
}

fn flaw(proxy: &str) -> Option<&'static str> {
    let Ok(uri) = proxy.parse::<Uri>() else {
        return Some("which is no URL");
    };
    match uri.scheme_str() {
        None | Some("http" | "https") => {}
        Some(scheme) if scheme.starts_with("socks") => return Some("and sampan speaks to HTTP proxies only"),
        Some(_) => return Some("which begins neither with http:// nor with https://"),
    }
    match uri.authority() {
        Some(authority) if has_port_of_sense(authority.as_str()) => None,
        Some(_) => Some("whose port is no number from 1 to 65535"),
        None => Some("which names no host"),
    }
}

fn has_port_of_sense(authority: &str) -> bool {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.rsplit_once(':') {
        Some((before, port)) if !before.contains(':') || before.ends_with(']') => {
            port.parse::<u16>().is_ok_and(|port| port > 0)
        }
        _ => true,
    }
}

fn address(proxy: &str) -> Option<(String, u16)> {
    if flaw(proxy).is_some() {
        return None;
    }
    let uri: Uri = proxy.parse().ok()?;
    let port = if uri.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    let host = uri
        .host()?
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    Some((host, uri.port_u16().unwrap_or(port)))
}

/// Entries are names, addresses and networks; `*` is every host.
fn entry_flaw(entry: &str) -> Option<&'static str> {
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    if entry.is_empty() || entry == "*" || is_address(entry) {
        return None;
    }
    if let Some((address, length)) = entry.split_once('/')
        && is_address(address)
    {
        let longest = if address.contains(':') { 128 } else { 32 };
        let fits = length.parse::<u8>().is_ok_and(|length| length <= longest);
        return (!fits).then_some("whose prefix length is none");
    }
    if entry.contains("://") || entry.contains('/') {
        return Some("which is a URL where a host's name belongs");
    }
    if entry.contains('*') {
        return Some("which matches nothing: write the domain without the asterisk");
    }
    if entry.contains(':') {
        return Some("which matches nothing: write it without a port");
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Proxies {
        Proxies::read(|wanted| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn only(proxy: &str) -> Proxies {
        read(&[("HTTPS_PROXY", proxy)])
    }

    #[test]
    fn variables_are_read_in_capitals_first_and_all_stands_for_those_that_are_missing() {
        let proxies = read(&[
            ("HTTP_PROXY", "http://a:1"),
            ("http_proxy", "http://b:2"),
            ("all_proxy", "http://c:3"),
            ("no_proxy", "d"),
        ]);
        assert_eq!(proxies.http.as_deref(), Some("http://a:1"));
        assert_eq!(proxies.https.as_deref(), Some("http://c:3"));
        assert_eq!(proxies.no.as_deref(), Some("d"));
        assert_eq!(read(&[("HTTP_PROXY", " ")]), Proxies::default());
    }

    #[rstest]
    #[case("http://proxy.test:3128", &[("proxy.test", 3128)])]
    #[case("https://proxy.test", &[("proxy.test", 443)])]
    #[case("proxy.test:3128", &[("proxy.test", 3128)])]
    #[case("http://user:pass@[::1]:8080/", &[("::1", 8080)])]
    fn a_proxy_of_sense_has_an_address_and_no_flaw(#[case] proxy: &str, #[case] address: &[(&str, u16)]) {
        let found = only(proxy).addresses();
        let found: Vec<_> = found.iter().map(|(host, port)| (host.as_str(), *port)).collect();
        assert_eq!((found.as_slice(), only(proxy).flaws()), (address, Vec::new()));
    }

    #[rstest]
    #[case("http://user:top secret@proxy.test:3128", "is no URL")]
    #[case("http//proxy.test:3128", "is no URL")]
    #[case("socks5://proxy.test:1080", "HTTP proxies only")]
    #[case("ftp://proxy.test", "neither with http://")]
    #[case("http://proxy.test:99999", "whose port is no number")]
    #[case("/proxy", "names no host")]
    fn a_proxy_that_is_not_understood_is_told_without_its_password(#[case] proxy: &str, #[case] flaw: &str) {
        let flaws = only(proxy).flaws();
        assert!(
            flaws[0].starts_with("HTTPS_PROXY is ") && flaws[0].contains(flaw),
            "{flaws:?}"
        );
        assert!(!flaws[0].contains("top secret"), "{flaws:?}");
        assert_eq!(only(proxy).addresses(), []);
    }

    #[rstest]
    #[case("*.corp.test", Some("without the asterisk"))]
    #[case("corp.test:443", Some("without a port"))]
    #[case("https://corp.test", Some("is a URL"))]
    #[case("10.0.0.0/99", Some("prefix length"))]
    #[case("corp.test", None)]
    #[case(".corp.test", None)]
    #[case("10.0.0.0/8", None)]
    #[case("fd00::/8", None)]
    #[case("::1", None)]
    #[case("*", None)]
    fn an_exception_that_never_matches_is_told(#[case] entry: &str, #[case] flaw: Option<&str>) {
        let flaws = read(&[("NO_PROXY", &format!("localhost, {entry},"))]).flaws();
        match flaw {
            None => assert_eq!(flaws, Vec::<String>::new()),
            Some(flaw) => assert!(flaws.len() == 1 && flaws[0].contains(flaw), "{flaws:?}"),
        }
    }

    #[test]
    fn credentials_are_masked_as_docker_masks_them() {
        let masked = |proxy| only(proxy).masked().https.unwrap();
        assert_eq!(masked("http://me:pass@proxy:1"), "http://xxxxx:xxxxx@proxy:1");
        assert_eq!(masked("me:pass@proxy:1"), "xxxxx:xxxxx@proxy:1");
        assert_eq!(masked("http://me:p/a@ss@proxy:1"), "http://xxxxx:xxxxx@proxy:1");
        assert_eq!(masked("http://proxy:1"), "http://proxy:1");
    }

    proptest! {
        #[test]
        fn no_text_of_any_kind_shows_a_password(before in "[ -~]{0,8}", secret in "[A-Z]{12}", after in "[a-z.:0-9/ ]{0,12}") {
            let proxies = only(&format!("http://{before}:{secret}@{after}"));
            let told = format!("{:?} {:?}", proxies.masked(), proxies.flaws());
            prop_assert!(!told.contains(&secret), "{}", told);
        }
    }
}
