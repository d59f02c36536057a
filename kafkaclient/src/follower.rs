//! Telling a client that is running what it would not find out by itself.

use std::ffi::{CStr, CString};

use rdkafka::ClientContext;
use rdkafka::admin::AdminClient;
use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::consumer::{Consumer, ConsumerContext, StreamConsumer};
use rdkafka::producer::{FutureProducer, Producer};

/// A client that can be told another password, and again where the brokers are.
pub trait Follower: Send + Sync {
    /// Has the client log in so from its next connection on. Connections that are open stay.
    /// False where the client does not log in at all.
    fn log_in_as(&self, username: &str, password: &str) -> bool;

    /// Has the client look for brokers at `servers`, host:port joined by commas, too. Those that it
    /// knows stay as they are.
    fn find_brokers(&self, servers: &CStr);
}

/// A kind of client, and where what all kinds have in common is.
macro_rules! follower {
    ($client:ident, $context:ident, $inner:ident) => {
        impl<C: $context> Follower for $client<C> {
            fn log_in_as(&self, username: &str, password: &str) -> bool {
                set_credentials(self.$inner(), username, password)
            }

            fn find_brokers(&self, servers: &CStr) {
                add_brokers(self.$inner(), servers);
            }
        }
    };
}

follower!(AdminClient, ClientContext, inner);
follower!(StreamConsumer, ConsumerContext, client);
follower!(FutureProducer, ClientContext, client);

fn set_credentials<C: ClientContext>(client: &Client<C>, username: &str, password: &str) -> bool {
    let (Ok(username), Ok(password)) = (CString::new(username), CString::new(password)) else {
        return false;
    };
    // SAFETY: the client is alive, for it is borrowed; both texts end in NUL and outlive the call,
    // which copies them. librdkafka takes a lock of the client's own, so any thread may call.
    let error = unsafe {
        sys::rd_kafka_sasl_set_credentials(
            client.native_ptr(),
            username.as_ptr(),
            password.as_ptr(),
        )
    };
    if error.is_null() {
        return true;
    }
    // SAFETY: a returned error is the caller's, and is not used after this.
    unsafe { sys::rd_kafka_error_destroy(error) };
    false
}

fn add_brokers<C: ClientContext>(client: &Client<C>, servers: &CStr) {
    // SAFETY: the client is alive, for it is borrowed; the text ends in NUL and outlives the call,
    // which copies it. librdkafka takes a lock of the client's own, so any thread may call. The
    // answer, how many brokers were added, is of no use: there may be none to add.
    unsafe { sys::rd_kafka_brokers_add(client.native_ptr(), servers.as_ptr()) };
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::client::DefaultClientContext;

    use super::*;

    #[test]
    fn a_client_takes_another_password_at_any_time() {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", "127.0.0.1:1")
            .set("security.protocol", "sasl_plaintext")
            .set("sasl.mechanism", "SCRAM-SHA-512")
            .set("sasl.username", "gamecast")
            .set("sasl.password", "first");
        let client: AdminClient<DefaultClientContext> = config.create().unwrap();
        assert!(client.log_in_as("gamecast", "second"));
        assert!(!client.log_in_as("gamecast", "with\0nul"));
    }
}
