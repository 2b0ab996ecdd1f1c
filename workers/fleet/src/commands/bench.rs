//! `watchbell bench`
pub(crate) async fn run(_args: crate::cli::BenchArgs) -> anyhow::Result<()> {
    anyhow::bail!("bench is being written")
}
