//! The API on its sockets, with a stub in place of the Kubernetes API server and no MySQL: what is
//! done to real ones is tested on real ones.

mod check;
mod document;
mod games;
mod odds;
mod page;
mod simulator;
mod stub;
mod world;
