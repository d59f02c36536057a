//! Telling a client that is running another password.

use std::ffi::CString;

use rdkafka::ClientContext;
use rdkafka::admin::AdminClient;
use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::consumer::{Consumer, ConsumerContext, StreamConsumer};
use rdkafka::producer::{FutureProducer, Producer};

/// A client that can be told another password.
pub trait Login: Send + Sync {
    /// Has the client log in so from its next connection on. Connections that are open stay.
    /// False where the client does not log in at all.
    fn log_in_as(&self, username: &str, password: &str) -> bool;
}

impl<C: ClientContext> Login for AdminClient<C> {
    fn log_in_as(&self, username: &str, password: &str) -> bool {
        set_credentials(self.inner(), username, password)
    }
}

impl<C: ConsumerContext> Login for StreamConsumer<C> {
    fn log_in_as(&self, username: &str, password: &str) -> bool {
        set_credentials(self.client(), username, password)
    }
}

impl<C: ClientContext> Login for FutureProducer<C> {
    fn log_in_as(&self, username: &str, password: &str) -> bool {
        set_credentials(self.client(), username, password)
    }
}

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
