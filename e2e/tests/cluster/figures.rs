//! What the tests measure.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Figures, printed when they are known and again at the end.
#[derive(Clone, Default)]
pub(crate) struct Figures(Arc<Mutex<Vec<String>>>);

impl Figures {
    pub(crate) fn tell(&self, figure: String) {
        println!("{figure}");
        self.lock().push(figure);
    }

    pub(crate) fn repeat(&self) {
        for figure in self.lock().iter() {
            println!("{figure}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
