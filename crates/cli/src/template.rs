//! Go's `text/template` language, as far as `--format` needs it: fields, variables, pipelines, `if`, `with`,
//! `range`, and the functions that Docker adds to Go's own.
//!
//! A template is text of its user's own, yet it is bounded in every way: how deep it nests, how long it runs, how
//! much it writes. Values are JSON; a Go struct's field is an object's member.

mod evaluate;
mod functions;
mod lex;
mod parse;
mod print;

use serde_json::Value;

use evaluate::Evaluation;
use parse::Node;

/// A template does not parse or run. The texts follow Go's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("template: {0}")]
pub(crate) struct TemplateError(String);

type Result<T> = std::result::Result<T, TemplateError>;

fn error<T>(what: impl Into<String>) -> Result<T> {
    Err(TemplateError(what.into()))
}

/// A template that was understood.
#[derive(Debug)]
pub(crate) struct Template(Vec<Node>);

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        parse::template(lex::tokens(text)?).map(Self)
    }

    /// Fills the template in. A member that does not exist prints `<no value>`, as a Go map's does.
    pub(crate) fn render(&self, data: &Value) -> Result<String> {
        Evaluation::new(data, false).run(&self.0)
    }

    /// Fills the template in. A member that does not exist is an error, as a Go struct's is.
    pub(crate) fn render_strict(&self, data: &Value) -> Result<String> {
        Evaluation::new(data, true).run(&self.0)
    }

    /// Whether a field of the data is mentioned.
    pub(crate) fn uses(&self, field: &str) -> bool {
        parse::mentions(&self.0, field)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn data() -> Value {
        json!({
            "Name": "web",
            "Id": "abc",
            "State": { "Running": true, "ExitCode": 0, "Error": "" },
            "Ports": ["80/tcp", "443/tcp"],
            "Labels": { "b": "2", "a": "1" },
            "Nothing": null,
        })
    }

    fn rendered(template: &str) -> String {
        Template::parse(template).unwrap().render(&data()).unwrap()
    }

    #[rstest]
    #[case("plain", "plain")]
    #[case("{{.Name}}", "web")]
    #[case("{{ .State.Running }} {{.State.ExitCode}}", "true 0")]
    #[case("{{.ID}}", "abc")]
    #[case("{{.Ports}} {{.Labels}}", "[80/tcp 443/tcp] map[a:1 b:2]")]
    #[case("{{.Missing}} {{.Nothing}}", "<no value> <no value>")]
    #[case("{{json .State}}", r#"{"Error":"","ExitCode":0,"Running":true}"#)]
    #[case("{{.Name | upper | printf \"%s-%d\" }}", "WEB-%!d(MISSING)")]
    #[case(
        "{{printf \"%-5s|%5s|%q|%v|%d\" .Name \"a\" .Id true 7}}",
        "web  |    a|\"abc\"|true|7"
    )]
    #[case("{{if .State.Running}}up{{else}}down{{end}}", "up")]
    #[case("{{if eq .Name \"x\"}}a{{else if eq .Name \"web\"}}b{{else}}c{{end}}", "b")]
    #[case("{{range .Ports}}[{{.}}]{{end}}", "[80/tcp][443/tcp]")]
    #[case("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a=1;b=2;")]
    #[case("{{range $i, $p := .Ports}}{{$i}}:{{$p}} {{end}}", "0:80/tcp 1:443/tcp ")]
    #[case("{{range .Missing}}x{{else}}none{{end}}", "none")]
    #[case("{{with .State}}{{.Running}}{{$.Name}}{{end}}", "trueweb")]
    #[case("{{with .State.Error}}bad{{else}}fine{{end}}", "fine")]
    #[case("{{$x := .Name}}{{$x}}{{$x = \"y\"}}{{$x}}", "weby")]
    #[case("a  {{- .Name -}}  b", "awebb")]
    #[case("{{/* a remark */}}x{{- /* another */ -}} y", "xy")]
    #[case(
        "{{join .Ports \", \"}} {{len .Ports}} {{index .Ports 1}} {{index .Labels \"a\"}}",
        "80/tcp, 443/tcp 2 443/tcp 1"
    )]
    #[case(
        "{{lower \"AB\"}}{{title \"ab\"}}{{upper \"ab\"}}{{split \"a,b\" \",\"}}",
        "abAbAB[a b]"
    )]
    #[case("{{pad \"x\" 1 2}}|{{truncate \"abcdef\" 3}}", " x  |abc")]
    #[case(
        "{{and .State.Running .Name}} {{or .State.Error .Name}} {{not .Nothing}}",
        "web web true"
    )]
    #[case("{{(index .Ports 0) | upper}}", "80/TCP")]
    #[case("{{(.State).Running}}", "true")]
    #[case("{{lt 1 2}} {{ge 2 2}} {{ne \"a\" \"b\"}}", "true true true")]
    #[case("{{println .Name}}", "web\n")]
    #[case("{{`raw \\n`}}{{\"tab\\t\"}}{{'a'}}", "raw \\ntab\t97")]
    #[case(
        "{{range .Ports}}{{if eq . \"443/tcp\"}}{{break}}{{end}}{{.}}{{end}}",
        "80/tcp"
    )]
    #[case("{{slice .Name 1 3}}", "eb")]
    fn templates_render_as_gos_do(#[case] template: &str, #[case] expected: &str) {
        assert_eq!(rendered(template), expected);
    }

    #[rstest]
    #[case("{{.Name")]
    #[case("{{if .Name}}x")]
    #[case("{{end}}")]
    #[case("{{nope .Name}}")]
    #[case("{{.Name | }}")]
    #[case("{{$undefined}}")]
    #[case("{{\"open}}")]
    #[case("{{else}}")]
    fn what_is_no_template_is_refused(#[case] template: &str) {
        let refused = Template::parse(template).and_then(|template| template.render(&data()));
        assert!(refused.is_err(), "{refused:?}");
    }

    #[test]
    fn a_strict_template_refuses_a_field_that_does_not_exist() {
        let error = Template::parse("{{.Nope}}")
            .unwrap()
            .render_strict(&data())
            .unwrap_err();
        assert!(error.to_string().contains("can't evaluate field Nope"), "{error}");
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("{}x{}", "{{if true}}".repeat(5000), "{{end}}".repeat(5000));
        assert!(Template::parse(&deep).is_err());
        let deep = format!("{{{{{}1{}}}}}", "(".repeat(5000), ")".repeat(5000));
        assert!(Template::parse(&deep).is_err());
    }

    #[test]
    fn running_is_bounded() {
        let many: Vec<u32> = (0..3000).collect();
        let data = json!({ "A": many });
        let nested = "{{range $.A}}".repeat(4) + "x" + &"{{end}}".repeat(4);
        let error = Template::parse(&nested).unwrap().render(&data).unwrap_err();
        assert!(error.to_string().contains("too"), "{error}");
    }

    #[test]
    fn the_fields_that_a_template_uses_are_known() {
        let template = Template::parse("{{if .Size}}{{json .Name}}{{end}}").unwrap();
        assert!(template.uses("Size") && template.uses("Name") && !template.uses("Image"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_language(text in "(\\{\\{|\\}\\}|[ -~]|if|range|end|\\.Name|\\$x|:=|\\||json){0,24}") {
            if let Ok(template) = Template::parse(&text) {
                let _ = template.render(&data());
            }
        }
    }
}
