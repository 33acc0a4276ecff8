//! Generates messages, clients and servers from `proto/` with protox, so that no `protoc` is needed, and the few trait
//! implementations that follow from a message's shape alone.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use prost::Message as _;
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed={}", root.display());

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true).open_files(own_files(&root)?)?;
    // The encoded form keeps extension options (policies, HTTP rules); protox's `prost_types` form loses them.
    let encoded = compiler.encode_file_descriptor_set();
    fs::write(out.join("otdel.binpb"), &encoded)?;

    let pool = DescriptorPool::decode(encoded.as_slice())?;
    refuse_methods_without_policy(&pool)?;
    fs::write(out.join("shapes.rs"), mutations(&pool)? + &events(&pool)?)?;

    // Ordered maps make encoding deterministic, which fingerprints and byte-equal answers stand on.
    let mut config = prost_build::Config::new();
    config.btree_map(["."]).enable_type_names();
    // Examples in the comments of Google's protos would be taken for Rust by rustdoc.
    config.disable_comments([".google"]);
    tonic_prost_build::configure()
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(prost_types::FileDescriptorSet::decode(encoded.as_slice())?, config)?;
    Ok(())
}

/// Every proto of ours, in a fixed order.
fn own_files(root: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for package in fs::read_dir(root.join("otdel"))? {
        for file in fs::read_dir(package?.path().join("v1"))? {
            files.push(file?.path());
        }
    }
    files.sort();
    Ok(files)
}

/// Fails the build on an RPC that does not say who may call it.
fn refuse_methods_without_policy(pool: &DescriptorPool) -> Result<(), Box<dyn Error>> {
    let policy = pool.get_extension_by_name("otdel.policy.v1.policy").ok_or("no policy option")?;
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        if !method.options().has_extension(&policy) {
            return Err(format!("{} declares no policy", method.full_name()).into());
        }
    }
    Ok(())
}

/// `Mutation` for every request that carries a request id.
fn mutations(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    for message in pool.all_messages().filter(|message| message.name().ends_with("Request")) {
        if message.get_field_by_name("request_id").is_some() {
            writeln!(
                code,
                "impl crate::Mutation for {} {{\n    \
                 fn request_id(&self) -> &str {{ &self.request_id }}\n    \
                 fn clear_request_id(&mut self) {{ self.request_id.clear(); }}\n}}",
                path(&message),
            )?;
        }
    }
    Ok(code)
}

/// `Event` for every message that is an envelope and one of many facts, and the way from each fact into it.
fn events(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    for event in pool.all_messages() {
        let Some(facts) = event.oneofs().find(|oneof| oneof.name() == "fact") else { continue };
        let (event_path, service) =
            (path(&event), event.package_name().split('.').nth(1).unwrap_or_default().to_owned());
        let fact_path = format!("{}::Fact", path_to_module(&event));
        let mut arms = String::new();
        for field in facts.fields() {
            let Kind::Message(fact) = field.kind() else { return Err("a fact is a message".into()) };
            writeln!(
                code,
                "impl From<{fact}> for {event_path} {{\n    \
                 fn from(fact: {fact}) -> Self {{ Self {{ envelope: None, fact: Some({fact_path}::{variant}(fact)) }} }}\n}}",
                fact = path(&fact),
                variant = upper_camel(field.name()),
            )?;
            writeln!(
                arms,
                "            Some({fact_path}::{}(_)) => \"{}\",",
                upper_camel(field.name()),
                fact.full_name()
            )?;
        }
        writeln!(
            code,
            "impl crate::Event for {event_path} {{\n    \
             const SERVICE: &'static str = \"{service}\";\n    \
             fn envelope(&self) -> Option<&crate::event::Envelope> {{ self.envelope.as_ref() }}\n    \
             fn envelope_mut(&mut self) -> &mut crate::event::Envelope {{ self.envelope.get_or_insert_with(Default::default) }}\n    \
             fn fact_type(&self) -> &'static str {{\n        match &self.fact {{\n{arms}            None => \"\",\n        }}\n    }}\n}}",
        )?;
    }
    Ok(code)
}

/// The Rust path of a top-level message of ours.
fn path(message: &MessageDescriptor) -> String {
    format!("crate::{}::{}", message.package_name().replace('.', "::"), message.name())
}

/// The Rust path of the module that holds a message's oneofs.
fn path_to_module(message: &MessageDescriptor) -> String {
    let mut module = String::new();
    for (at, letter) in message.name().char_indices() {
        if letter.is_uppercase() && at > 0 {
            module.push('_');
        }
        module.push(letter.to_ascii_lowercase());
    }
    format!("crate::{}::{module}", message.package_name().replace('.', "::"))
}

/// The Rust name of a oneof's variant.
fn upper_camel(snake: &str) -> String {
    snake
        .split('_')
        .map(|word| {
            word.chars().next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + &word[1..])
        })
        .collect()
}
