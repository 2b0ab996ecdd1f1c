//! The manual: the documentation of this version, in the binary. It is served beside the operations endpoints, and written to a
//! folder by `watchbell docs`.

mod pages;
mod render;

use std::{collections::BTreeMap, fs, path, sync::LazyLock};

use anyhow::Context as _;
use axum::{
    Router,
    extract::Path,
    http::{HeaderName, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};

use pages::{FIRST, PAGES};
use watchbell::wire::Problem;

/// How every page looks.
const STYLE: &str = include_str!("page.css");
/// The style's address below the manual's own.
const STYLE_ADDRESS: &str = "page.css";

/// What a page may do: show itself in its own style.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::CACHE_CONTROL, "no-cache"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// Every file of the manual by its address. Made when it is first asked for, and then kept: about 1 MB.
static FILES: LazyLock<BTreeMap<&'static str, String>> = LazyLock::new(|| {
    let pages = PAGES.iter().map(|page| (page.address, render::page(page)));
    pages.chain([(STYLE_ADDRESS, STYLE.to_owned())]).collect()
});

/// Serves the manual below `at`, such as `/docs`.
pub(crate) fn routes(at: &str) -> Router {
    let (first, home) = (format!("{at}/{FIRST}"), at.to_owned());
    Router::new()
        .route(at, get(move || async move { Redirect::to(&first) }))
        .route(&format!("{at}/"), get(move || async move { Redirect::permanent(&home) }))
        .route(
            &format!("{at}/{{*address}}"),
            get(|Path(address): Path<String>| async move { file(&address) }),
        )
}

fn file(address: &str) -> Response {
    let Some(text) = FILES.get(address) else {
        return Problem::not_found("the manual has no such page").into_response();
    };
    let kind = if address == STYLE_ADDRESS { "text/css; charset=utf-8" } else { "text/html; charset=utf-8" };
    (HEADERS, [(header::CONTENT_TYPE, kind)], text.as_str()).into_response()
}

/// Writes every file into a folder, which is made if it is not there. Answers how many there are.
pub(crate) fn write(folder: &path::Path) -> anyhow::Result<usize> {
    for (address, text) in FILES.iter() {
        let path = folder.join(address);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).with_context(|| format!("the folder {}", parent.display()))?;
        fs::write(&path, text).with_context(|| format!("the file {}", path.display()))?;
    }
    Ok(FILES.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn the_manual_is_served_below_its_address_and_runs_nothing() {
        let ask = |path: &str| routes("/docs").oneshot(Request::get(path).body(Body::empty()).unwrap());
        let home = ask("/docs").await.unwrap();
        assert_eq!(
            (home.status().as_u16(), &home.headers()["location"]),
            (303, &"/docs/index.html".parse().unwrap())
        );
        let slash = ask("/docs/").await.unwrap();
        assert_eq!(
            (slash.status().as_u16(), &slash.headers()["location"]),
            (308, &"/docs".parse().unwrap()),
            "as /console/ does"
        );
        for (path, kind) in
            [("/docs/index.html", "text/html; charset=utf-8"), ("/docs/page.css", "text/css; charset=utf-8")]
        {
            let response = ask(path).await.unwrap();
            assert_eq!(response.status(), 200, "{path}");
            assert_eq!(response.headers()["content-type"], kind);
            assert_eq!(response.headers()["content-security-policy"], POLICY);
        }
        assert_eq!(ask("/docs/Cargo.toml").await.unwrap().status(), 404);
    }

    #[test]
    fn the_manual_is_written_to_a_folder_as_files_that_link_to_each_other() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(write(folder.path()).unwrap(), PAGES.len() + 1);
        let first = fs::read_to_string(folder.path().join(FIRST)).unwrap();
        assert!(first.contains("href=\"operations.html\""));
    }
}
