//! librdkafka's objects, each destroyed once when its owner goes.

use rdkafka::bindings as sys;

macro_rules! owned {
    ($name:ident, $native:ident, $destroy:ident) => {
        pub(crate) struct $name(pub(crate) *mut sys::$native);

        impl Drop for $name {
            fn drop(&mut self) {
                if !self.0.is_null() {
                    // SAFETY: the pointer came from the object's constructor, is not null, and
                    // this wrapper is its only owner.
                    unsafe { sys::$destroy(self.0) };
                }
            }
        }
    };
}

owned!(Queue, rd_kafka_queue_t, rd_kafka_queue_destroy);
owned!(
    Topics,
    rd_kafka_TopicCollection_t,
    rd_kafka_TopicCollection_destroy
);
owned!(
    Options,
    rd_kafka_AdminOptions_t,
    rd_kafka_AdminOptions_destroy
);
owned!(Event, rd_kafka_event_t, rd_kafka_event_destroy);
