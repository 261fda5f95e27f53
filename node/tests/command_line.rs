//! Bad input on the command line: exit code 2 and one message that names the field, as text and as JSON.
//!
//! No cluster is there. The endpoint given is a port where nobody listens, so a command that looked for a node before it
//! looked at its input would end with 3, after seconds.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Output};

/// Port 1 is not among those the system hands out.
const NOBODY: &str = "127.0.0.1:1";

fn earmark<T: AsRef<OsStr>>(arguments: &[T]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_earmark"));
    command.env("EARMARK__ENDPOINTS", NOBODY).args(arguments);
    command.output().expect("it runs")
}

/// A bad command line, and what its message must say.
struct Case<'a> {
    arguments: Vec<&'a str>,
    words: &'a [&'a str],
}

/// The words of a line, and what its message must say.
fn case<'a>(line: &'a str, words: &'a [&'a str]) -> Case<'a> {
    Case { arguments: line.split(' ').collect(), words }
}

fn check(case: &Case<'_>) {
    let shown = case.arguments.join(" ");
    let output = earmark(&case.arguments);
    let said = String::from_utf8(output.stderr).expect("text");
    eprintln!("{shown:.80}: {}", said.lines().next().unwrap_or_default());
    assert_eq!(output.status.code(), Some(2), "{shown}: {said}");
    assert!(output.stdout.is_empty(), "{shown}: results go to standard output, errors do not");
    for word in case.words {
        assert!(said.contains(word), "{shown}: `{said}` does not say `{word}`");
    }
    assert!(!said.contains("panicked"), "{shown}: {said}");

    let json = earmark(&[&["--output", "json"], &case.arguments[..]].concat());
    assert_eq!(json.status.code(), Some(2), "{shown}");
    assert!(json.stdout.is_empty(), "{shown}");
    let value: serde_json::Value = serde_json::from_slice(&json.stderr).unwrap_or_else(|error| {
        panic!("{shown}: {error}: {}", String::from_utf8_lossy(&json.stderr));
    });
    let error = &value["error"];
    assert_eq!(error["code"], "INVALID_ARGUMENT", "{shown}: {value}");
    assert_eq!((&error["effect"], &error["retry"]), (&"none".into(), &"never".into()), "{shown}: {value}");
    assert!(error["fields"][0]["field"].is_string(), "{shown}: {value}");
    let message = error["message"].as_str().expect("a message");
    for word in case.words {
        assert!(message.contains(word), "{shown}: `{message}` does not say `{word}`");
    }
}

#[test]
fn bad_quantities() {
    let most = "1 to 9007199254740992";
    for units in ["0", "-1", "1.5", "many", "1e3", "9007199254740993", "9223372036854775808", "18446744073709551616"] {
        check(&case(&format!("receive tea {units}"), &["quantity", most, units]));
    }
    for units in ["0", "-1", "1000000001", "9223372036854775808", "two", ""] {
        check(&case(&format!("reserve tea@main={units}"), &["quantity", "1 to 1000000000"]));
    }
    for delta in ["5", "+0", "-0", "0", "+1.5", "+9007199254740993", "-9223372036854775808", "+9223372036854775808"] {
        check(&case(&format!("adjust tea {delta} --reason counted"), &["delta", "+N or -N", delta]));
    }
    for units in ["-1", "9007199254740993", "x"] {
        check(&case(&format!("adjust tea +1 --reason counted --expect {units}"), &["expect", "0 to", units]));
    }
}

#[test]
fn bad_skus_and_locations() {
    let long = "x".repeat(65);
    let (sku, location) = (format!("{long} 1"), format!("tea@{} 1", &long[..33]));
    check(&case("receive @main 1", &["sku", "empty", "SKU@LOCATION"]));
    check(&case("receive tea@ 1", &["location", "empty", "SKU@LOCATION"]));
    check(&case(&format!("receive {sku}"), &["sku", "65 bytes", "64"]));
    check(&case(&format!("receive {location}"), &["location", "33 bytes", "32"]));
    check(&case("receive tea\u{7}@main 1", &["sku", "character"]));
    check(&case("receive tea@ma*in 1", &["location", "letters, digits"]));
    check(&case("receive tea@main:soon 1", &["kind", "preorder", "soon"]));
    check(&case("receive tea@main/ 1", &["lot", "empty"]));
    check(&case(&format!("reserve {long}=1"), &["sku", "65 bytes"]));
    check(&case("reserve tea", &["line", "SKU[@LOCATION[:KIND][/LOT]]=UNITS", "tea"]));
    check(&case("reserve =1", &["sku", "empty"]));
    check(&case("reserve tea=1..2", &["minimum", "--best-effort"]));
    check(&case(&format!("reserve {}", vec!["tea=1"; 501].join(" ")), &["lines", "1 to 500", "501"]));
    for command in ["stock", "id"] {
        check(&Case { arguments: vec![command, ""], words: &["sku", "empty"] });
        check(&Case { arguments: vec![command, &long], words: &["sku", "65 bytes"] });
    }
    check(&case("stock tea --location ma/in", &["location", "letters, digits"]));
    check(&case("--namespace a/b stock tea", &["namespace", "letters, digits"]));
    check(&Case { arguments: vec!["--namespace", "", "stock", "tea"], words: &["namespace", "empty"] });
}

#[test]
fn bad_texts() {
    let (document, reason) = ("x".repeat(65), "x".repeat(257));
    check(&case(&format!("receive tea 1 --document {document}"), &["document", "65 bytes"]));
    check(&case("receive tea 1 --document a\nb", &["document", "control characters"]));
    check(&case(&format!("reserve tea=1 --owner {document}"), &["owner", "65 bytes"]));
    check(&case("adjust tea +1", &["--reason"]));
    check(&Case { arguments: vec!["adjust", "tea", "+1", "--reason", ""], words: &["reason", "empty"] });
    check(&case(&format!("adjust tea +1 --reason {reason}"), &["reason", "257 bytes", "256"]));
    check(&case("adjust tea +1 --reason a\u{1b}[2J", &["reason", "control characters"]));
}

#[test]
fn bad_ids_and_times() {
    for command in ["commit", "release", "show"] {
        check(&case(&format!("{command} xyz"), &["id", "26 characters", "xyz"]));
        check(&case(&format!("{command} 000000000000000000000000001"), &["id", "mistyped"]));
        check(&case(&format!("{command} ü0000000000000000000000000"), &["id"]));
        check(&case(&format!("{command} ZZZZZZZZZZZZZZZZZZZZZZZZZZZ"), &["id", "character"]));
        check(&case(command, &["<ID>"]));
    }
    check(&case("reserve tea=1 --id xyz", &["id", "26 characters"]));
    check(&case("extend xyz --ttl 5m", &["id", "26 characters"]));
    check(&case("extend 000000000000000000000000000", &["--ttl"]));
    for ttl in ["0s", "999ms", "10years", "soon", "15"] {
        check(&case(&format!("reserve tea=1 --ttl {ttl}"), &["ttl", ttl]));
        check(&case(&format!("extend 000000000000000000000000000 --ttl {ttl}"), &["ttl", ttl]));
    }
}

#[test]
fn bad_flags() {
    for shards in ["0", "1025", "-1", "many"] {
        check(&case(&format!("init --shards={shards}"), &["--shards", shards]));
    }
    check(&case("init", &["--shards"]));
    check(&case("admin reseed 0", &["<NODE>", "0"]));
    check(&case("admin reseed first", &["<NODE>", "first"]));
    for endpoint in ["nonsense", "a:x", "a:65536", ":7400", "http://a"] {
        check(&case(&format!("--endpoints {endpoint} stock tea"), &["endpoints", "HOST:PORT", endpoint]));
    }
    check(&Case { arguments: vec!["--endpoints", "", "stock", "tea"], words: &["endpoints", "at least one"] });
    check(&case("stock tea --level fresh", &["--level", "fresh", "linearizable"]));
    check(&case("dev --nodes 2", &["--nodes", "1, 3 or 5"]));
    check(&case("dev --shards 0", &["--shards"]));
    check(&case("dev --port 0", &["--port"]));
    check(&case("dev --port 60001", &["--port"]));
    check(&case("serve", &["--config"]));
    check(&case("serve --config /missing.toml", &["config", "/missing.toml", "not found"]));
    check(&case("bogus", &["bogus"]));
    check(&case("stock tea --bogus", &["--bogus"]));
    check(&case("completions nosh", &["nosh", "bash"]));
}

#[test]
fn what_is_no_text_is_told_and_breaks_nothing() {
    for bad in [&b"\xff"[..], b"\xff=1"] {
        for command in ["stock", "reserve"] {
            let bad = OsString::from_vec(bad.to_vec());
            let output = earmark(&[OsStr::new(command), &bad]);
            let said = String::from_utf8(output.stderr).expect("text");
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains("UTF-8") && !said.contains("panicked"), "{said}");
            let json = earmark(&[OsStr::new("--output=json"), OsStr::new(command), &bad]);
            let value: serde_json::Value = serde_json::from_slice(&json.stderr).expect("JSON");
            assert_eq!((json.status.code(), &value["error"]["code"]), (Some(2), &"INVALID_ARGUMENT".into()), "{value}");
        }
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    for (line, fields) in [
        (
            "reserve s1=0 s2=1 s2@b+d=1 s3=-4 --ttl 0s --id x",
            "lines[0].quantity lines[2].location lines[3].quantity ttl id",
        ),
        ("commit x tea@+=0 tea=2", "id parts[0].location parts[0].quantity"),
        ("adjust +@main 5 --reason  --expect x", "delta reason expect"),
        ("sku set tea --hold-time 0s --closes soon --allocation cheapest", "hold_time closes allocation"),
        ("transfer tea@depot depot 0 --id 7", "to quantity id"),
    ] {
        let arguments = [&["--output", "json"], &line.split(' ').collect::<Vec<_>>()[..]].concat();
        let output = earmark(&arguments);
        assert_eq!(output.status.code(), Some(2), "{line}");
        let value: serde_json::Value = serde_json::from_slice(&output.stderr).expect("JSON");
        let told = value["error"]["fields"].as_array().expect("fields").iter();
        let told: Vec<&str> = told.filter_map(|bad| bad["field"].as_str()).collect();
        assert_eq!(told, fields.split(' ').collect::<Vec<_>>(), "{line}: {value}");
    }
    let said = String::from_utf8(earmark(&["reserve", "s1=0", "s3=-4"]).stderr).expect("text");
    assert_eq!(said.lines().count(), 3, "each on a line of its own: {said}");
}

#[test]
fn an_unknown_form_of_output_is_told_as_text() {
    let output = earmark(&["--output", "xml", "stock", "tea"]);
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--output") && said.contains("xml") && said.contains("json"), "{said}");
}

#[test]
fn bad_replays() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("text").to_owned()
    };
    let empty = file("empty.csv", "");
    let other = file("other.csv", "sku,units\ntea,1\n");
    let torn = file("torn.csv.gz", "\u{1f}");
    std::fs::write(&torn, [0x1f, 0x8b, 8, 0, 1, 2]).expect("written");
    check(&case("replay missing.csv", &["missing.csv", "No such file"]));
    check(&case(&format!("replay {empty}"), &["empty.csv", "transaction_timestamp"]));
    check(&case(&format!("replay {other}"), &["other.csv", "quantity", "sku, units"]));
    check(&case(&format!("replay {torn}"), &["torn.csv.gz", "can't be read"]));
    for factor in ["-1", "x", "1.2.3", "1e9"] {
        check(&case(&format!("replay {other} --stock-factor {factor}"), &["--stock-factor", factor]));
    }
    for share in ["-0.1", "1.1", "NaN", "x"] {
        check(&case(&format!("replay {other} --abandon {share}"), &["--abandon", "0 to 1", share]));
    }
    check(&case(&format!("replay {other} --concurrency 0"), &["--concurrency"]));
    check(&case(&format!("replay {other} --fold-skus 0"), &["--fold-skus"]));
    check(&case(&format!("replay {other} --rejects /missing/rejects.csv"), &["--rejects", "/missing/rejects.csv"]));
}

#[test]
fn bad_words_of_those_who_keep_the_stock() {
    let id = "0192f3c1-6d2e-7c4b-9d0a-3f5b8e7a1c22";
    for line in [
        case("set tea -1 --override --reason why", &["on_hand", "0 to 9007199254740992"]),
        case("set tea 1 --expect x --reason why", &["expect", "x"]),
        case("set tea 1 --reason why", &["--expect", "--override"]),
        case("mark-paying 000000000000000000000000000 --grace 31min", &["grace", "1s to 30min"]),
        Case { arguments: vec!["sku", "freeze", "tea", "--reason", ""], words: &["reason", "empty: say why"] },
        case("count tea 1 --at soon", &["at", "2026-11-27T09:00:00Z"]),
        case("count tea 1 --ago 401days", &["ago", "400days"]),
        case("count tea 1 --position 3/1", &["position", "SHARD/EPOCH/INDEX"]),
        case("quarantine tea 0 --reason wet", &["quantity", "1 to 9007199254740992"]),
        case("transfer tea@depot depot 1", &["to", "where the units are"]),
        case(&format!("arrive tea {id} 0"), &["received", "at least 1"]),
        case("arrive tea 7 1", &["transfer", "UUID"]),
        case("expect tea 5 --document d", &["at", "needed"]),
        case("sku limit tea 0", &["units", "1 to 9007199254740992"]),
        case("sku set tea --owner-holds 1001", &["owner_holds", "1 to 1000"]),
        case("sku set tea --hold-time 32days", &["hold_time", "1s to 31days"]),
        case("sku set tea --allocation cheapest", &["allocation", "most-stock"]),
        case("expiring --within 0s", &["within", "1s to 31days"]),
    ] {
        check(&line);
    }
}

#[test]
fn bad_imports() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stock.csv");
    std::fs::write(&path, "sku,quantity\ntea,1\n").expect("written");
    let good = path.to_str().expect("text");
    check(&case("import missing.csv", &["missing.csv", "No such file"]));
    check(&case("import missing.csv --dry-run", &["missing.csv", "No such file"]));
    check(&case("import -", &["--progress", "standard input"]));
    check(&case("import - --dry-run", &["--results", "standard input", "--progress"]));
    check(&case(&format!("import {good} --action order"), &["--action", "order", "receive"]));
    check(&case(&format!("import {good} --location a/b"), &["location", "letters, digits"]));
    check(&case(&format!("import {good} --in-flight 0"), &["--in-flight"]));
    check(&case(&format!("import {good} --patience soon"), &["patience", "soon"]));
    check(&case(&format!("import {good} --progress /missing/progress"), &["/missing/progress"]));
    std::fs::write(folder.path().join("stock.csv.import"), "{}").expect("written");
    check(&case(&format!("import {good}"), &["stock.csv.import", "no progress"]));
}
