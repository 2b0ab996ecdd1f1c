//! The tables are the specification of searching.

use super::*;

fn finds(typed: &str, text: &str) -> bool {
    SearchWords::read(typed).is_ok_and(|words| words.are_in(&[text]))
}

#[test]
fn a_word_is_found_by_its_beginning() {
    let long = format!("{}y", "x".repeat(20_000));
    for (why, typed, text, expected) in [
        ("nothing is asked", "", "Disk full", true),
        ("blanks are nothing", " \t\n", "Disk full", true),
        ("a whole word", "disk", "Disk full", true),
        ("its beginning", "ful", "Disk full", true),
        ("not its middle", "isk", "Disk full", false),
        ("not its end", "ll", "Disk full", false),
        ("more than the word", "disks", "Disk full", false),
        ("capitals", "DISK", "disk full", true),
        ("all words, in any order", "full disk", "Disk full", true),
        ("one that is not there", "disk empty", "Disk full", false),
        ("the same word twice", "disk disk", "Disk full", true),
        ("behind a dash", "db", "disk-db-1", true),
        ("a name with dashes", "db-1", "Disk full on db-1", true),
        ("behind an underscore", "full", "disk_full", true),
        ("an address", "example.com", "see https://example.com/x", true),
        ("digits", "50", "503 from api", true),
        ("not digits in a number", "03", "503 from api", false),
        ("a later word that begins so", "full", "halffull full", true),
        ("a very long word", "xxx", &long, true),
        ("its end", "xy", &long, false),
        ("a number of another script is that number", "7", "alert ７", true),
    ] {
        assert_eq!(finds(typed, text), expected, "{why}");
    }
}

#[test]
fn case_accents_and_width_make_no_difference() {
    for (why, typed, text, expected) in [
        ("an umlaut that is not typed", "uber", "Überlauf", true),
        ("one that is typed too much", "Über", "uberlauf", true),
        ("composed and decomposed", "zo\u{eb}", "Zoe\u{308}", true),
        ("ß is ss", "strasse", "Straße gesperrt", true),
        ("and ss is ß", "STRAßE", "STRASSE", true),
        ("a capital ß", "strasse", "STRAẞE", true),
        ("only its beginning", "stras", "Straße", true),
        ("Polish", "zolw", "żółw", true),
        ("Danish", "rod", "Rødgrød", true),
        ("Icelandic", "thorsteinn", "Þorsteinn", true),
        ("a ligature", "office", "o\u{fb03}ce", true),
        ("Turkish dotless i", "ilik", "ılık", true),
        ("Turkish capital I with a dot", "istanbul", "İstanbul", true),
        ("a final sigma", "ΟΔΟΣ", "οδος", true),
        ("Greek accents", "αθηνα", "Αθήνα", true),
        ("Cyrillic", "елка", "Ёлка", true),
        ("full width", "ABC", "ＡＢＣ", true),
        ("Vietnamese", "duong", "đường", true),
        ("a soft hyphen in the text", "disk", "di\u{ad}sk", true),
        ("a zero width blank in the text", "disk", "di\u{200b}sk", true),
    ] {
        assert_eq!(finds(typed, text), expected, "{why}");
    }
}

#[test]
fn scripts_are_searched_as_they_are_written() {
    for (why, typed, text, expected) in [
        ("Chinese, from the beginning", "磁盘", "磁盘已满", true),
        ("Chinese, in the middle of a line", "已满", "磁盘已满", true),
        ("Chinese that is not there", "内存", "磁盘已满", false),
        ("another order", "满已", "磁盘已满", false),
        ("Latin beside it", "db", "磁盘db已满", true),
        ("both in one word that was typed", "磁盘db", "磁盘 db 已满", true),
        ("Japanese", "容量", "ディスク容量", true),
        ("half width kana", "ﾃﾞｨｽｸ", "ディスク", true),
        ("a kana without its sign of voice is another", "て", "でんげん", false),
        ("Korean, by the beginning of a word", "디스", "디스크 부족", true),
        ("Korean, not within", "스크", "디스크 부족", false),
        ("Arabic", "القرص", "القرص ممتلئ", true),
        ("Arabic with vowels", "القرص", "القُرْصُ ممتلئ", true),
        ("Arabic that was stretched", "ممتلئ", "ممـــتلئ", true),
        ("an Alef with Hamza", "انذار", "إنذار", true),
        ("Arabic, not within", "رص", "القرص ممتلئ", false),
        ("Hebrew with points", "שלום", "שָׁלוֹם", true),
        ("Persian with a joiner", "میشود", "می\u{200c}شود", true),
        ("Hindi by its vowels", "कि", "का", false),
        ("Hindi", "डिस्क", "डिस्क भर गई", true),
        ("Thai, within a line", "เต็ม", "ดิสก์เต็ม", true),
        ("an emoji", "🔥", "🔥 Disk full", true),
        ("right behind a word", "🔥", "Disk🔥", true),
        ("of another skin", "👍", "👍🏽", true),
        ("of several", "👩\u{200d}🚒", "call 👩\u{200d}🚒", true),
        ("a word behind one", "disk", "🔥Disk", true),
        ("drawn in colour", "⚠", "⚠\u{fe0f} full", true),
        ("a flag", "🇵🇱", "in 🇵🇱", true),
        ("another flag", "🇵🇱", "in 🇩🇪", false),
    ] {
        assert_eq!(finds(typed, text), expected, "{why}");
    }
}

#[test]
fn signs_are_between_words_and_mean_nothing() {
    for (why, typed, text, expected) in [
        ("a percent sign is no wildcard", "%", "Disk full", false),
        ("nor beside a word", "d%l", "Disk full", false),
        ("it is left out", "90%", "90% full", true),
        ("an underscore is no wildcard", "d_sk", "Disk full", false),
        ("alone", "_", "Disk full", false),
        ("a star", "*", "Disk full", false),
        ("a word with one", "dis*", "Disk full", true),
        ("quotes", "\"disk full\"", "Disk is full", true),
        ("a quote that is not closed", "'disk", "Disk full", true),
        ("SQL", "'; DROP TABLE inbox; --", "Disk full", false),
        ("an operator is a word", "disk OR cpu", "Disk full", false),
        ("minus is no operator", "-disk", "Disk full", true),
        ("a backslash", "\\", "a\\b", false),
        ("a regular expression", ".*", "Disk full", false),
    ] {
        assert_eq!(finds(typed, text), expected, "{why}");
    }
}

#[test]
fn each_word_may_be_in_another_text() {
    let words = SearchWords::read("disk prometheus").unwrap_or_default();
    assert!(words.are_in(&["Disk full", "", "prometheus"]));
    assert!(!words.are_in(&["Disk full", "pro", "metheus"]), "a word does not reach over two texts");
}

#[test]
fn what_is_searched_for_has_bounds() {
    let read = |typed: &str| SearchWords::read(typed).map(|words| words.words.len());
    for (why, typed, expected) in [
        ("as long as it may be", "x".repeat(SEARCH_BYTES_MAX), Ok(1)),
        ("longer", "x".repeat(SEARCH_BYTES_MAX + 1), Err(InvalidSearch::TooLong)),
        ("bytes count, not characters", "é".repeat(SEARCH_BYTES_MAX / 2 + 1), Err(InvalidSearch::TooLong)),
        ("as many words", "a b c d e f g h".to_owned(), Ok(8)),
        ("one more", "a b c d e f g h i".to_owned(), Err(InvalidSearch::TooManyWords)),
        ("the same one is one", "a ".repeat(100), Ok(1)),
        ("a NUL", "a\0b".to_owned(), Err(InvalidSearch::Control)),
        ("an escape", "\u{1b}[2J".to_owned(), Err(InvalidSearch::Control)),
        ("a line that was pasted", "disk\r\nfull".to_owned(), Ok(2)),
        ("one character that becomes eighteen", "\u{fdfa}".repeat(SEARCH_BYTES_MAX / 3), Ok(5)),
    ] {
        assert_eq!(read(&typed), expected, "{why}");
    }
}
