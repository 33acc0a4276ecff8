//! Path templates of `google.api.http`, such as `/v1/{name=leads/*}:assign`.

use percent_encoding::percent_decode_str;

/// A path template: literal segments and single wildcards, variables over them, and perhaps a verb at the end.
///
/// The double wildcard and nested variables of the full grammar are refused: no RPC of ours uses them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    segments: Vec<Segment>,
    verb: Option<String>,
    variables: Vec<Variable>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Wildcard,
}

/// A field of the request that the segments from `from` up to `to` fill in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Variable {
    field: String,
    from: usize,
    to: usize,
}

/// One segment of a path that a caller chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// Its name, such as `lead`.
    pub(crate) name: String,
    /// The field of the request that it is part of, such as `name`.
    pub(crate) field: String,
    /// The field's value, such as `leads/{lead}`.
    pub(crate) form: String,
}

/// A template that is not of the grammar we support.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path template {template}")]
pub(crate) struct BadTemplate {
    template: String,
}

/// The fields that a path fills in: field path and value.
pub(crate) type Bindings = Vec<(String, String)>;

impl Template {
    /// Reads a template.
    pub(crate) fn parse(text: &str) -> Result<Self, BadTemplate> {
        Self::read(text).ok_or_else(|| BadTemplate { template: text.to_owned() })
    }

    fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('/')?;
        // A colon inside braces cannot be: field paths and segments have none.
        let (rest, verb) = match rest.rsplit_once(':') {
            Some((rest, verb)) => (rest, Some(verb)),
            None => (rest, None),
        };
        if verb.is_some_and(|verb| !is_literal(verb)) {
            return None;
        }
        let mut template = Self { segments: Vec::new(), verb: verb.map(str::to_owned), variables: Vec::new() };
        let mut rest = rest;
        loop {
            let after = template.read_next(rest)?;
            if after.is_empty() {
                return Some(template);
            }
            rest = after.strip_prefix('/')?;
        }
    }

    /// Takes a segment or a variable off the front and gives what comes after it.
    fn read_next<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let Some(inner) = text.strip_prefix('{') else {
            let (segment, after) = text.split_at(text.find('/').unwrap_or(text.len()));
            self.segments.push(Segment::read(segment)?);
            return Some(after);
        };
        let (variable, after) = inner.split_once('}')?;
        let (field, segments) = variable.split_once('=').unwrap_or((variable, "*"));
        if !field.split('.').all(is_identifier) {
            return None;
        }
        let from = self.segments.len();
        for segment in segments.split('/') {
            self.segments.push(Segment::read(segment)?);
        }
        self.variables.push(Variable { field: field.to_owned(), from, to: self.segments.len() });
        Some(after)
    }

    /// The fields that a path fills in. None: the path is another one.
    pub(crate) fn bind(&self, path: &AskedPath<'_>) -> Option<Bindings> {
        if self.verb.as_deref() != path.verb || self.segments.len() != path.segments.len() {
            return None;
        }
        let fits = self.segments.iter().zip(&path.segments).all(|(segment, asked)| match segment {
            Segment::Literal(literal) => literal == asked,
            Segment::Wildcard => !asked.is_empty(),
        });
        if !fits {
            return None;
        }
        let bound = |variable: &Variable| {
            let value = path.segments.get(variable.from..variable.to)?.join("/");
            Some((variable.field.clone(), value))
        };
        self.variables.iter().map(bound).collect()
    }

    /// The path as OpenAPI writes it, and what stands in its braces. A parameter there is one segment: it stands for a
    /// wildcard here, and `name` names it by the segment before, `lead` for `leads`.
    pub(crate) fn parameters(&self, name: impl Fn(&str) -> String) -> (String, Vec<Parameter>) {
        let mut before = "";
        let mut segments = Vec::new();
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => {
                    before = literal;
                    segments.push(literal.clone());
                }
                Segment::Wildcard => segments.push(format!("{{{}}}", name(before))),
            }
        }
        let of = |variable: &Variable| {
            let form = segments[variable.from..variable.to].join("/");
            let names = segments[variable.from..variable.to].iter().filter_map(|segment| segment.strip_prefix('{'));
            let parameter = |name: &str| Parameter {
                name: name.trim_end_matches('}').to_owned(),
                field: variable.field.clone(),
                form: form.clone(),
            };
            names.map(parameter).collect::<Vec<_>>()
        };
        let verb = self.verb.as_ref().map(|verb| format!(":{verb}")).unwrap_or_default();
        (format!("/{}{verb}", segments.join("/")), self.variables.iter().flat_map(of).collect())
    }

    /// The field paths of the variables.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|variable| variable.field.as_str())
    }
}

#[cfg(test)]
impl Template {
    /// A path that fits, with these values for the wildcards; the last one again where there are too few.
    pub(crate) fn expand(&self, values: &[&str]) -> String {
        let mut values = values.iter().chain(std::iter::repeat(values.last().unwrap()));
        let segment = |segment: &Segment| match segment {
            Segment::Literal(literal) => literal.clone(),
            Segment::Wildcard => {
                percent_encoding::utf8_percent_encode(values.next().unwrap(), percent_encoding::NON_ALPHANUMERIC)
                    .to_string()
            }
        };
        let path = self.segments.iter().map(segment).collect::<Vec<_>>().join("/");
        let verb = self.verb.as_ref().map(|verb| format!(":{verb}")).unwrap_or_default();
        format!("/{path}{verb}")
    }
}

impl Segment {
    fn read(text: &str) -> Option<Self> {
        match text {
            "*" => Some(Self::Wildcard),
            literal if is_literal(literal) => Some(Self::Literal(literal.to_owned())),
            _ => None,
        }
    }
}

fn is_literal(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.'))
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// A path as it was asked for: decoded segments, and the verb after the last colon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AskedPath<'a> {
    segments: Vec<String>,
    verb: Option<&'a str>,
}

impl<'a> AskedPath<'a> {
    /// Splits a raw path. A colon or a slash that is percent-encoded belongs to its segment. None: not a path, or not
    /// UTF-8 once decoded.
    pub(crate) fn read(raw: &'a str) -> Option<Self> {
        let rest = raw.strip_prefix('/')?;
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (rest, verb) = match rest[last..].rfind(':') {
            Some(colon) => (&rest[..last + colon], Some(&rest[last + colon + 1..])),
            None => (rest, None),
        };
        let decoded = |segment: &str| Some(percent_decode_str(segment).decode_utf8().ok()?.into_owned());
        Some(Self { segments: rest.split('/').map(decoded).collect::<Option<_>>()?, verb })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bind(template: &str, path: &str) -> Option<Bindings> {
        Template::parse(template).unwrap().bind(&AskedPath::read(path)?)
    }

    fn bound(field: &str, value: &str) -> Bindings {
        vec![(field.to_owned(), value.to_owned())]
    }

    #[test]
    fn variables_take_their_segments() {
        assert_eq!(bind("/v1/{name=leads/*}", "/v1/leads/7"), Some(bound("name", "leads/7")));
        assert_eq!(bind("/v1/{name=leads/*}:assign", "/v1/leads/7:assign"), Some(bound("name", "leads/7")));
        assert_eq!(bind("/v1/{client.name=clients/*}", "/v1/clients/7"), Some(bound("client.name", "clients/7")));
        assert_eq!(bind("/v1/{deal=deals/*}/timeline", "/v1/deals/7/timeline"), Some(bound("deal", "deals/7")));
        assert_eq!(bind("/v1/leads:submit", "/v1/leads:submit"), Some(vec![]));
        assert_eq!(bind("/v1/{code}", "/v1/x"), Some(bound("code", "x")));
    }

    #[test]
    fn another_path_does_not_fit() {
        for path in ["/v1/leads", "/v1/leads/", "/v1/leads/7/8", "/v1/deals/7", "/v1/leads/7:assign", "/v2/leads/7"] {
            assert_eq!(bind("/v1/{name=leads/*}", path), None, "{path}");
        }
        assert_eq!(bind("/v1/{name=leads/*}:assign", "/v1/leads/7"), None);
        assert_eq!(bind("/v1/{name=leads/*}:assign", "/v1/leads/7:convert"), None);
        assert_eq!(bind("/v1/{name=leads/*}:assign", "/v1/leads/:assign"), None);
        assert_eq!(bind("/v1/leads", "v1/leads"), None);
    }

    #[test]
    fn what_is_encoded_belongs_to_its_segment() {
        assert_eq!(bind("/v1/{name=leads/*}", "/v1/leads/a%2Fb%3Ac"), Some(bound("name", "leads/a/b:c")));
        assert_eq!(bind("/v1/{name=leads/*}", "/v1/leads/%D0%81%D0%BB%D0%BA%D0%B0"), Some(bound("name", "leads/Ёлка")));
        assert_eq!(bind("/v1/{name=leads/*}", "/v1/leads/%FF"), None, "not UTF-8");
    }

    #[test]
    fn openapi_has_a_parameter_for_every_wildcard() {
        let named = |template: &str| Template::parse(template).unwrap().parameters(|before| format!("one_of_{before}"));
        let parameter = |name: &str, field: &str, form: &str| Parameter {
            name: name.into(),
            field: field.into(),
            form: form.into(),
        };
        assert_eq!(
            named("/v1/{client.name=clients/*}/card:send"),
            (
                "/v1/clients/{one_of_clients}/card:send".into(),
                vec![parameter("one_of_clients", "client.name", "clients/{one_of_clients}")]
            )
        );
        assert_eq!(named("/v1/x").1, []);
    }

    #[test]
    fn templates_outside_the_grammar_are_refused() {
        for text in
            ["", "v1", "/", "/v1//x", "/v1/{name", "/v1/{=a}", "/v1/{name=**}", "/v1/{a={b}}", "/v1/x:", "/v1/{a}b"]
        {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_path_that_was_expanded_binds_to_the_same_values(
            one in "\\PC{1,12}",
            two in "\\PC{1,12}",
            verb in "(:[a-z]{1,6})?",
        ) {
            let template = Template::parse(&format!("/v1/{{a.b=x/*}}/y/{{c}}{verb}")).unwrap();
            let path = template.expand(&[&one, &two]);
            let bindings = template.bind(&AskedPath::read(&path).unwrap()).unwrap();
            prop_assert_eq!(bindings, vec![("a.b".to_owned(), format!("x/{one}")), ("c".to_owned(), two)]);
        }

        #[test]
        fn no_path_breaks_the_reader(path in "\\PC*") {
            if let Some(path) = AskedPath::read(&path) {
                let _ = Template::parse("/v1/{a=x/*}:y").unwrap().bind(&path);
            }
        }
    }
}
