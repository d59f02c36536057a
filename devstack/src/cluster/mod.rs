//! A cluster of one node beside the servers, in a network of its own.
//!
//! ```text
//!   network NAME (a network namespace)              10.10.0.1 is the node
//!     etcd, apiserver, controller-manager, scheduler
//!     containerd <- kubelet, kube-proxy, CoreDNS    pods: 10.244.0.0/24
//!     Traefik :80 :443                              Services: 10.96.0.0/16
//!     Prometheus <- metrics-adapter <- apiserver
//!     mysql, kafka, connect  <- Services in the namespace `backends` <- pods
//! ```
//!
//! Nothing leaves the network: there is no route to the machine, nor from it. Whoever wants in
//! enters it: `nsenter --net=/run/netns/NAME curl -k https://10.10.0.1/`.

mod backends;
mod leftovers;
mod network;

pub use network::{Network, NetworkError};

pub(crate) use backends::{apply, apply_backends, hosts};
pub(crate) use leftovers::{clear, end_pods, hierarchies, keep_sysctls};
pub(crate) use network::{NODE_ADDRESS, POD_RANGE, SERVICE_RANGE};

/// The name of the only node.
pub(crate) const NODE: &str = "node0";
