//! What `otdel up` says once it serves: where, how to get the key, and a first call that works when pasted.

use std::{env, net::SocketAddr, path::Path};

use crate::data;

/// The text for an address and a data folder.
pub fn text(address: SocketAddr, folder: &Path) -> String {
    let binary = env::current_exe().map_or_else(|_| "otdel".to_owned(), |path| quote(&path.to_string_lossy()));
    let is_default = data::default_folder().is_ok_and(|default| default == folder);
    let named = if is_default { String::new() } else { format!(" --data-dir {}", quote(&folder.to_string_lossy())) };
    let token = format!("{binary} token{named}");
    format!(
        r#"
Otdel serves gRPC and JSON at {address}

  the key for Authorization: Bearer
    {token}

  a first call
    curl -sS http://{address}/v1/leads:submit \
      -H "Authorization: Bearer $({token})" \
      -d '{{"requestId": "'$(cat /proc/sys/kernel/random/uuid 2>/dev/null || uuidgen | tr A-Z a-z)'", "channel": "CHANNEL_SITE", "sourceRef": "first-call",
           "contact": {{"displayName": "Анна Ёлкина", "phone": "8 (495) 123-45-67"}}, "text": "Сколько стоит ваша продукция?"}}'

Stop it with Ctrl-C.
"#
    )
}

/// A word of a shell command, quoted where it must be.
fn quote(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+=:@%".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(quote("/var/lib/otdel"), "/var/lib/otdel");
        assert_eq!(quote("/home/o'neil/мои данные"), r"'/home/o'\''neil/мои данные'");
    }

    #[test]
    fn a_folder_that_is_not_the_default_is_named_in_the_command() {
        let text = text("127.0.0.1:7400".parse().unwrap(), Path::new("/tmp/elsewhere"));
        assert!(text.contains(" token --data-dir /tmp/elsewhere)"));
    }
}
