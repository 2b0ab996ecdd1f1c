//! The page of `/metrics`. It has a bound in bytes, as every answer has (I9).
//!
//! How many series there are follows from the labels, whose values are words of ours, tenants, routes and queues. A page that is
//! too long all the same ends with the last whole line that fits, and says how many series were left out, so that whoever scrapes
//! it is not cut off and finds out.

/// The longest page, in bytes: about 40,000 series.
pub(super) const METRICS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The page, cut where it is longer than that.
pub(super) fn within(mut page: String, bytes_max: usize) -> String {
    if page.len() <= bytes_max {
        return page;
    }
    let end = page.as_bytes()[..bytes_max].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let is_series = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let left_out = page[end..].lines().filter(is_series).count();
    page.truncate(end);
    page.push_str(&format!(
        "# The page is longer than {bytes_max} bytes: the rest is left out.\n\
         # TYPE watchbell_metrics_left_out_series gauge\n\
         watchbell_metrics_left_out_series {left_out}\n"
    ));
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_with_a_whole_line_and_says_what_is_left_out() {
        let page = "# TYPE a counter\na{of=\"ä\"} 1\na{of=\"b\"} 2\n\n# TYPE c gauge\nc 3\n";
        for (why, bytes_max, kept, left_out) in [
            ("it fits", page.len(), page.lines().count(), None),
            ("one series too long", page.len() - 1, 5, Some(1)),
            ("within a line", 34, 2, Some(2)),
            ("within a character", 24, 1, Some(3)),
            ("no line fits", 3, 0, Some(3)),
        ] {
            let cut = within(page.to_owned(), bytes_max);
            let lines: Vec<&str> = page.lines().take(kept).collect();
            let mut expected = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
            if let Some(left_out) = left_out {
                let rest = cut.strip_prefix(&expected).unwrap_or_default();
                assert!(rest.starts_with("# The page is longer"), "{why}: {cut}");
                assert!(
                    rest.ends_with(&format!("watchbell_metrics_left_out_series {left_out}\n")),
                    "{why}: {cut}"
                );
                expected.push_str(rest);
            }
            assert_eq!(cut, expected, "{why}");
        }
    }
}
