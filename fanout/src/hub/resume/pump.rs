//! Hands resuming clients what they lack, as their sockets drain.

use super::resumers::Resumes;
use super::walk_of;
use crate::hub::index::Entry;
use crate::hub::origin::Origin;
use crate::hub::replay::Next;
use crate::hub::{Bookmark, ClientId, Hub, Output, completes, delivery};

impl Hub {
    /// Goes on with a client's replays. Returns false when `deliver` did, or the steps are used up.
    pub(in super::super) fn replay<D>(
        &mut self,
        client: ClientId,
        steps: &mut usize,
        deliver: &mut D,
    ) -> bool
    where
        D: FnMut(Output<'_>) -> bool,
    {
        let Resumes {
            rings,
            segments,
            clients,
            ..
        } = &mut self.resumes;
        let Some(resumer) = clients.get_mut(&client) else {
            return true;
        };
        for (bookmark, offset, gap) in resumer.gaps.drain(..) {
            deliver(Output::Gap {
                bookmark: &bookmark,
                offset,
                gap,
            });
        }
        let mut current = 0;
        while let Some(replay) = resumer.replays.get_mut(current) {
            let id = replay.id();
            let Some(ring) = rings.ring(id) else {
                replay.leave(segments, client);
                resumer.replays.remove(current);
                continue;
            };
            let next = replay.next(client, ring, segments, steps);
            let gap = match next {
                Next::Message(message) => {
                    self.matched.clear();
                    let topic = message.topic();
                    self.index.matches_of(topic, client, &mut self.matched);
                    let ahead = |entry: &Entry| {
                        let mut walks = replay.suspended.iter();
                        walks.any(|walk| walk.is_ahead(entry.part, &message))
                    };
                    if self.matched.iter().all(ahead) {
                        continue;
                    }
                    let position = completes(&message) || replay.completes();
                    let delivery = delivery(&self.matched, false, position, &mut self.identifiers);
                    if deliver(Output::Message(&message, delivery)) {
                        continue;
                    }
                    replay.moved(segments);
                    return false;
                }
                Next::Pause => {
                    replay.moved(segments);
                    return false;
                }
                Next::Wait => {
                    replay.moved(segments);
                    current += 1;
                    continue;
                }
                Next::Live => None,
                Next::Gap(gap) => Some(gap),
            };
            let offset = replay.position();
            replay.leave(segments, client);
            let ended = resumer.replays.remove(current);
            let walks = self.walks.entry(client).or_default();
            match gap {
                Some(gap) => {
                    let bookmark = bookmark(ended.origin(), id.1);
                    deliver(Output::Gap {
                        bookmark: &bookmark,
                        offset,
                        gap,
                    });
                    let walk = walk_of(&self.index, client, &resumer.filters);
                    walks.push(walk.instead(id, gap));
                }
                None => walks.extend(ended.suspended),
            }
        }
        self.resumes.settle(client);
        true
    }
}

fn bookmark(origin: &Origin, partition: i32) -> Bookmark {
    Bookmark {
        key: origin.key().into(),
        epoch: origin.route().epoch().into(),
        partition,
    }
}
