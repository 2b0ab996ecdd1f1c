//! A RabbitMQ cluster of three nodes of one's own, to kill one after the other. Starting takes some twenty seconds.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use crate::ports;
use crate::rabbit::{Place, RabbitNode, epmd};
use crate::until::until;

/// Nodes of a cluster: one may be gone.
const NODES: usize = 3;
const FORMED_MAX: Duration = Duration::from_secs(120);

/// The cluster. Dropped, its nodes are killed; its folder is the caller's.
#[derive(Debug)]
pub struct RabbitCluster {
    nodes: Vec<RabbitNode>,
}

impl RabbitCluster {
    /// Starts three nodes with their data, configuration and logs in `dir`, and waits until each sees the others.
    ///
    /// # Errors
    /// When RabbitMQ is not installed, or the nodes do not find each other.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        let epmd_port = ports::free()?;
        let address = |node: usize| [127, 0, 1, u8::try_from(node + 1).expect("a few nodes")];
        let name = |node: usize| format!("c{}@127.0.1.{}", node + 1, node + 1);
        let listens = (0..NODES).map(|node| format!("127.0.1.{}", node + 1)).collect::<Vec<_>>().join(",");
        let epmd = epmd(dir, epmd_port, &listens).await?;
        let mut configuration = "cluster_formation.peer_discovery_backend = classic_config\n\
                                 cluster_partition_handling = pause_minority\n"
            .to_owned();
        for node in 0..NODES {
            let line = format!("cluster_formation.classic_config.nodes.{} = {}\n", node + 1, name(node));
            configuration.push_str(&line);
        }
        let mut nodes = Vec::new();
        for node in 0..NODES {
            let dir = dir.join(format!("node-{}", node + 1));
            fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
            let place = Place {
                dir,
                amqp_port: ports::free()?,
                epmd_port,
                dist_port: ports::free()?,
                address: address(node),
                name: name(node),
                configuration: configuration.clone(),
                management_port: None,
            };
            nodes.push(RabbitNode::begin(place, epmd.clone())?);
        }
        for node in &mut nodes {
            node.speaks_amqp().await?;
        }
        let cluster = Self { nodes };
        cluster.formed().await?;
        Ok(cluster)
    }

    /// Where clients connect, one URL a node.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RabbitNode::url).collect()
    }

    /// The node that leads a quorum queue of the vhost `/`, by its number. Waits for an election.
    ///
    /// # Errors
    /// When nobody leads it for long.
    pub async fn leader_of(&self, queue: &str, deadline: Duration) -> anyhow::Result<usize> {
        until(&format!("somebody leads {queue}"), deadline, async || {
            let listed = self.nodes[0].ctl(&["list_queues", "name", "leader"]).await.ok()?;
            let leader = listed.lines().find_map(|line| line.strip_prefix(queue)?.strip_prefix('\t'))?;
            self.nodes.iter().position(|node| node.name() == leader.trim())
        })
        .await
    }

    /// One node, to be killed and started again.
    pub fn node(&mut self, number: usize) -> &mut RabbitNode {
        &mut self.nodes[number]
    }

    /// Waits until every node sees every other.
    ///
    /// # Errors
    /// When they do not for long.
    pub async fn formed(&self) -> anyhow::Result<()> {
        for node in &self.nodes {
            // The command's own node is hidden, and not counted.
            until("the nodes see each other", FORMED_MAX, async || {
                let seen = node.ctl(&["eval", "length(nodes())."]).await.ok()?;
                (seen.trim().parse() == Ok(NODES - 1)).then_some(())
            })
            .await?;
        }
        Ok(())
    }
}
