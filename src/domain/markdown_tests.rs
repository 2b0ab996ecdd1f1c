//! What is Markdown and what is text; and what hostile texts come to.

use super::*;

#[test]
fn marks_are_written_as_html_and_taken_out_of_plain_text() {
    for (why, text, expected_html, expected_plain) in [
        ("nothing", "", "", ""),
        ("no marks", "2 % left", "2 % left", "2 % left"),
        ("bold", "a **b c** d", "a <strong>b c</strong> d", "a b c d"),
        ("emphasis", "a *b c* d", "a <em>b c</em> d", "a b c d"),
        ("code", "run `df -h *`", "run <code>df -h *</code>", "run df -h *"),
        (
            "a link",
            "see [the runbook](https://example.com/r?a=1&b=2)",
            "see <a href=\"https://example.com/r?a=1&amp;b=2\" rel=\"noopener noreferrer nofollow\">the runbook</a>",
            "see the runbook (https://example.com/r?a=1&b=2)",
        ),
        (
            "a link that says where it leads",
            "[http://a.example/](http://a.example/)",
            "<a href=\"http://a.example/\" rel=\"noopener noreferrer nofollow\">http://a.example/</a>",
            "http://a.example/",
        ),
        ("emphasis in bold", "**a *b* c**", "<strong>a <em>b</em> c</strong>", "a b c"),
        ("bold in emphasis", "*a **b** c*", "<em>a <strong>b</strong> c</em>", "a b c"),
        ("both at once", "***a***", "<strong><em>a</em></strong>", "a"),
        (
            "marks in a link",
            "[**a**](https://b.example)",
            "<a href=\"https://b.example\" rel=\"noopener noreferrer nofollow\"><strong>a</strong></a>",
            "a (https://b.example)",
        ),
        ("lines", "a\nb\r\nc", "a<br>\nb<br>\nc", "a\nb\r\nc"),
        ("a mark over the end of a line", "**a\nb**", "**a<br>\nb**", "**a\nb**"),
        ("stars that multiply", "2 * 3 * 4", "2 * 3 * 4", "2 * 3 * 4"),
        ("two stars between blanks", "a ** b ** c", "a ** b ** c", "a ** b ** c"),
        ("a list", "* a\n* b", "* a<br>\n* b", "* a\n* b"),
        ("never closed", "**a *b `c [d", "**a *b `c [d", "**a *b `c [d"),
        ("nothing marked", "**** `` []()", "**** `` []()", "**** `` []()"),
        ("a word in brackets", "[sic] and a[0](1)", "[sic] and a[0](1)", "[sic] and a[0](1)"),
        ("another script", "**قرص** ممتلئ *é*", "<strong>قرص</strong> ممتلئ <em>é</em>", "قرص ممتلئ é"),
    ] {
        assert_eq!(html(text), expected_html, "{why}");
        assert_eq!(plain(text), expected_plain, "{why}");
    }
    assert_eq!(plain_without_addresses("see [the **runbook**](https://example.com/)"), "see the runbook");
}

#[test]
fn nothing_but_text_passes_and_links_lead_to_the_web_alone() {
    for hostile in [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "**<b onclick=x>**",
        "`<script>`",
        "[a](javascript:alert(1))",
        "[a](JaVaScRiPt:alert(1))",
        "[a](data:text/html,<script>alert(1)</script>)",
        "[a](vbscript:x)",
        "[a](//evil.example)",
        "[a](/relative)",
        "[a](https:evil.example)",
        "[a](https://)",
        "[a](https:///x)",
        "[a](ftp://a.example/)",
        "[a]( javascript:x)",
        "[a](\u{1}javascript:x)",
        "[a](java\tscript:x)",
        "[<img src=x>](https://a.example)",
        "[a](https://a.example\"onmouseover=\"alert(1))",
        "[a](https://a.example'onmouseover='alert(1))",
        "[a](https://a.example onclick=x)",
        "[a](https://a.example<script>)",
        "[[a](https://a.example)](javascript:x)",
        "[a](https://a.example)<script>",
        "&lt;script&gt;",
        "&#106;avascript:alert(1)",
        "`</code><script>`",
        "**a</strong><script>**",
        "<https://a.example>",
        "![a](https://a.example/pixel.png)",
    ] {
        let made = html(hostile);
        assert_only_own_markup(hostile, &made);
    }
    assert_eq!(html("![a](javascript:x)"), "![a](javascript:x)");
}

/// What stands between `<` and `>` is one of our own elements, and addresses begin with http.
fn assert_only_own_markup(text: &str, made: &str) {
    let mut rest = made;
    while let Some(begin) = rest.find('<') {
        let end = rest[begin..].find('>').map(|end| begin + end);
        let Some(end) = end else { panic!("{text}: an element without an end in {made}") };
        let tag = &rest[begin + 1..end];
        let is_plain = ["br", "code", "/code", "strong", "/strong", "em", "/em", "/a"].contains(&tag);
        let is_link = tag
            .strip_prefix("a href=\"")
            .and_then(|tag| tag.strip_suffix("\" rel=\"noopener noreferrer nofollow\""))
            .is_some_and(|address| {
                let lower = address.to_ascii_lowercase();
                (lower.starts_with("https://") || lower.starts_with("http://"))
                    && !address.contains(['"', '<', '>', '\'', ' '])
            });
        assert!(is_plain || is_link, "{text}: <{tag}> in {made}");
        rest = &rest[end + 1..];
    }
    assert!(!rest.contains('>'), "{text}: {made}");
}

#[test]
fn an_address_may_be_so_long_and_no_longer() {
    let of = |bytes: usize| format!("[a](https://a.example/{})", "x".repeat(bytes - 18));
    assert!(html(&of(2_048)).starts_with("<a href"));
    assert!(!html(&of(2_049)).contains("<a"));
}

#[test]
fn marks_are_nested_so_deep_and_no_deeper() {
    let deep = "*a **b *c **d *e* d** c* b** a*";
    assert_only_own_markup(deep, &html(deep));
    let made = html(&"[**a".repeat(5_000));
    assert!(!made.contains("<a"), "nothing is closed");
}

/// Of each kind of text that makes a reader look far ahead, the longest body there may be.
#[test]
fn a_hostile_text_is_read_in_proportion_to_its_length() {
    const CHARS: usize = super::super::alert::bounds::BODY_CHARS_MAX;
    let of = |unit: &str| unit.repeat(CHARS / unit.len());
    for unit in [
        "*",
        "**",
        "***",
        "`",
        "[",
        "[a](",
        "[a](http://x",
        "*a ",
        "**a ",
        "a* ",
        "**a*",
        "*a**b",
        "[*",
        "`a``",
    ] {
        let text = of(unit);
        let (made, bare) = (html(&text), plain(&text));
        assert_only_own_markup(unit, &made);
        assert!(made.len() <= text.len() * 16, "{unit}");
        assert!(bare.len() <= text.len(), "{unit}");
    }
}

/// Texts of these pieces in a random order (with a seed): nothing but our own elements comes out, whatever they are.
#[test]
fn any_text_of_hostile_pieces_is_safe() {
    const PIECES: [&str; 16] = [
        "**",
        "*",
        "`",
        "[",
        "](",
        ")",
        "https://a.example/",
        "javascript:x",
        "<b>",
        "\"",
        "'",
        " ",
        "\n",
        "é",
        "&lt;",
        "a",
    ];
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut dice = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for _ in 0..2_000 {
        let text: String = (0..dice() % 24).map(|_| PIECES[(dice() % 16) as usize]).collect();
        assert_only_own_markup(&text, &html(&text));
        let bare = plain(&text);
        assert_eq!(bare.lines().count(), text.lines().count(), "{text:?}");
    }
}
