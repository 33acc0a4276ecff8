//! Bad requests, made from the descriptors for every RPC: `INVALID_ARGUMENT` with every wrong field at once, never
//! INTERNAL.

use otdel_tests::{
    raw,
    refusal::{fields, reason},
    suite::{Suite, Topology},
};
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, MethodDescriptor, Value,
};
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_field_of_every_rpc_is_named_at_once() {
    let suite = Suite::start(Topology::AllInOne).await;
    let pool = raw::pool();
    let mut tried = 0;
    for method in unary(&pool) {
        let (request, wrong) = all_wrong(&method.input());
        if wrong.is_empty() {
            continue;
        }
        let path = raw::path(&method);
        let status = raw::outcome(&suite.admin, &path, request.encode_to_vec_of()).await.expect_err(&path);
        assert_eq!(reason(&status), (Code::InvalidArgument, "INVALID_FIELDS".into()), "{path}: {status:?}");
        let named = fields(&status);
        for field in &wrong {
            let found = named.iter().any(|name| {
                name == field || name.starts_with(&format!("{field}.")) || name.starts_with(&format!("{field}["))
            });
            assert!(found, "{path}: {field} is wrong and not named among {named:?}");
        }
        tried += 1;
    }
    assert!(tried > 45, "only {tried} RPCs take anything that can be wrong");
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_request_is_told_everything_that_it_lacks() {
    let suite = Suite::start(Topology::AllInOne).await;
    let pool = raw::pool();
    for method in unary(&pool) {
        let path = raw::path(&method);
        let required: Vec<_> = method.input().fields().filter(|field| is(field, "REQUIRED")).collect();
        let answer = raw::outcome(&suite.admin, &path, Vec::new()).await;
        if required.is_empty() {
            continue;
        }
        let status = answer.expect_err(&path);
        assert_eq!(status.code(), Code::InvalidArgument, "{path}: {status:?}");
        let named = fields(&status);
        for field in required {
            let at = field.name();
            let found = named
                .iter()
                .any(|name| name == at || name.starts_with(&format!("{at}.")) || name.starts_with(&format!("{at}[")));
            assert!(found, "{path}: {at} is required and not named among {named:?}");
        }
    }
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_single_mutant_of_any_field_is_an_internal_error() {
    let suite = Suite::start(Topology::AllInOne).await;
    let pool = raw::pool();
    let mut tried = 0;
    for method in unary(&pool) {
        let path = raw::path(&method);
        for field in method.input().fields() {
            for mutant in mutants(&field) {
                let mut request = DynamicMessage::new(method.input());
                request.set_field(&field, mutant.clone());
                if let Err(status) = raw::call(&suite.admin, &path, request.encode_to_vec_of()).await {
                    let bad = matches!(status.code(), Code::Internal | Code::Unknown | Code::DataLoss);
                    assert!(!bad, "{path}: {} = {mutant:?}: {status:?}", field.name());
                }
                tried += 1;
            }
        }
        let status = raw::call(&suite.admin, &path, vec![0xff, 0xff, 0xff, 0xff, 0x0f]).await.expect_err(&path);
        assert!(matches!(status.code(), Code::InvalidArgument | Code::Internal), "{path}: {status:?}");
        assert!(status.code() != Code::Unknown, "{path}: {status:?}");
    }
    assert!(tried > 700, "only {tried} mutants");
    suite.stop().await;
}

fn unary(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    raw::methods(pool).into_iter().filter(|method| raw::is_public(method) && !method.is_server_streaming()).collect()
}

trait EncodeOf {
    fn encode_to_vec_of(&self) -> Vec<u8>;
}

impl EncodeOf for DynamicMessage {
    fn encode_to_vec_of(&self) -> Vec<u8> {
        prost::Message::encode_to_vec(self)
    }
}

/// A message in which every field that can be wrong is, and the paths of those fields.
fn all_wrong(message: &MessageDescriptor) -> (DynamicMessage, Vec<String>) {
    let mut built = DynamicMessage::new(message.clone());
    let mut wrong = Vec::new();
    for field in message.fields().filter(|field| !is(field, "OUTPUT_ONLY")) {
        if field.containing_oneof().is_some() {
            continue;
        }
        if let Some(value) = wrong_value(&field) {
            let value = if field.is_list() { Value::List(vec![value]) } else { value };
            built.set_field(&field, value);
            wrong.push(field.name().to_owned());
        }
    }
    (built, wrong)
}

fn wrong_value(field: &FieldDescriptor) -> Option<Value> {
    match field.kind() {
        Kind::String => Some(Value::String(match field.name() {
            "page_token" => "garbage!".into(),
            _ => "\u{0}нет".into(),
        })),
        Kind::Int32 if field.name() == "page_size" => Some(Value::I32(-1)),
        Kind::Int32 => Some(Value::I32(-7)),
        Kind::Int64 => Some(Value::I64(-7)),
        Kind::Bytes => Some(Value::Bytes(vec![1, 2, 3].into())),
        Kind::Enum(_) => Some(Value::EnumNumber(9_999)),
        Kind::Message(message) => {
            let set = |pairs: &[(&str, Value)]| {
                let mut inner = DynamicMessage::new(message.clone());
                for (name, value) in pairs {
                    inner.set_field_by_name(name, value.clone());
                }
                Some(Value::Message(inner))
            };
            match message.full_name() {
                "google.protobuf.Timestamp" => set(&[("seconds", Value::I64(i64::MAX))]),
                "google.protobuf.FieldMask" => set(&[("paths", Value::List(vec![Value::String("no_such".into())]))]),
                "google.type.Money" => set(&[
                    ("currency_code", Value::String("RUB".into())),
                    ("units", Value::I64(1)),
                    ("nanos", Value::I32(1)),
                ]),
                "google.type.Decimal" => set(&[("value", Value::String("1e3".into()))]),
                "google.type.Date" => {
                    set(&[("year", Value::I32(2026)), ("month", Value::I32(13)), ("day", Value::I32(1))])
                }
                _ => {
                    let (inner, wrong) = all_wrong(&message);
                    (!wrong.is_empty()).then_some(Value::Message(inner))
                }
            }
        }
        _ => None,
    }
}

/// Values at the edges of what a field can hold.
fn mutants(field: &FieldDescriptor) -> Vec<Value> {
    let one: Vec<Value> = match field.kind() {
        Kind::String => [
            "",
            " ",
            "\u{0}",
            "\u{202e}\u{200b}",
            "leads/",
            "leads/00000000-0000-0000-0000-000000000000",
            "'; drop table leads.lead; --",
        ]
        .iter()
        .map(|text| Value::String((*text).into()))
        .chain([Value::String("я".repeat(60_000))])
        .collect(),
        Kind::Int32 => [i32::MIN, -1, i32::MAX].map(Value::I32).to_vec(),
        Kind::Int64 => [i64::MIN, -1, i64::MAX].map(Value::I64).to_vec(),
        Kind::Bytes => vec![Value::Bytes(vec![].into()), Value::Bytes(vec![0; 100_000].into())],
        Kind::Enum(_) => [i32::MIN, -1, 0, 12_345].map(Value::EnumNumber).to_vec(),
        Kind::Bool => vec![Value::Bool(true)],
        Kind::Message(message) => {
            let inner = DynamicMessage::new(message.clone());
            let mut values = vec![Value::Message(inner)];
            for part in message.fields() {
                for edge in mutants_of_part(&part) {
                    let mut inner = DynamicMessage::new(message.clone());
                    inner.set_field(&part, edge);
                    values.push(Value::Message(inner));
                }
            }
            values
        }
        _ => vec![],
    };
    if field.is_map() {
        return vec![Value::Map([(MapKey::String("x".into()), Value::I64(1))].into())];
    }
    if !field.is_list() {
        return one;
    }
    let many = one.first().map(|value| Value::List(vec![value.clone(); 10_000]));
    one.into_iter().map(|value| Value::List(vec![value])).chain(many).collect()
}

fn mutants_of_part(part: &FieldDescriptor) -> Vec<Value> {
    let one: Vec<Value> = match part.kind() {
        Kind::String => vec![Value::String("\u{0}".into()), Value::String("9".repeat(60))],
        Kind::Int32 => vec![Value::I32(i32::MIN), Value::I32(i32::MAX)],
        Kind::Int64 => vec![Value::I64(i64::MIN), Value::I64(i64::MAX)],
        Kind::Enum(_) => vec![Value::EnumNumber(-1)],
        _ => vec![],
    };
    if part.is_list() { one.into_iter().map(|value| Value::List(vec![value])).collect() } else { one }
}

fn is(field: &FieldDescriptor, behaviour: &str) -> bool {
    let pool = field.parent_pool();
    let Some(option) = pool.get_extension_by_name("google.api.field_behavior") else { return false };
    let names = pool.get_enum_by_name("google.api.FieldBehavior").unwrap();
    let wanted = names.get_value_by_name(behaviour).unwrap().number();
    let options = field.options();
    let value = options.get_extension(&option);
    value.as_list().is_some_and(|list| list.iter().any(|one| one.as_enum_number() == Some(wanted)))
}
