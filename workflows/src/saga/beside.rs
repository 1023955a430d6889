//! What a story does not wait for: notices, and rows that reach the board late.

use futures_util::future::LocalBoxFuture;
use std::{
    cell::RefCell,
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, Waker},
};

/// Work that was started, in the order in which it was.
pub(super) struct Beside {
    open: RefCell<Vec<LocalBoxFuture<'static, ()>>>,
    /// It goes on during the story, all of it at the same time. Otherwise after it, one after the other.
    is_during: bool,
}

impl Beside {
    pub fn new(is_during: bool) -> Self {
        Self { open: RefCell::default(), is_during }
    }

    /// Starts something now.
    pub fn start(&self, work: impl Future<Output = ()> + 'static) {
        let mut work: LocalBoxFuture<'static, ()> = Box::pin(work);
        // The first poll is what schedules it. Whoever is to be woken comes with the next one.
        if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            self.open.borrow_mut().push(work);
        }
    }

    /// Tells a story, and what it starts goes on beside it.
    pub async fn tell<T>(&self, story: impl Future<Output = T>) -> T {
        let mut story = pin!(story);
        poll_fn(|cx| {
            let told = story.as_mut().poll(cx);
            if self.is_during {
                // Whether that was the last of it is for later.
                let _ = self.poll(cx);
            }
            told
        })
        .await
    }

    /// Waits until all of it is done.
    pub async fn done(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut open = self.open.borrow_mut();
        if self.is_during {
            open.retain_mut(|work| work.as_mut().poll(cx).is_pending());
        } else {
            while open.first_mut().is_some_and(|first| first.as_mut().poll(cx).is_ready()) {
                drop(open.remove(0));
            }
        }
        if open.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, future::pending};
    use std::rc::Rc;

    /// Two steps, each of which waits for its turn.
    fn two_steps(steps: &Rc<RefCell<usize>>) -> impl Future<Output = ()> + 'static {
        let steps = steps.clone();
        async move {
            for _ in 0..2 {
                futures_util::pending!();
                *steps.borrow_mut() += 1;
            }
        }
    }

    #[test]
    fn what_was_started_goes_on_while_the_story_waits() {
        let (beside, steps) = (Beside::new(true), Rc::default());
        let story = async {
            beside.start(two_steps(&steps));
            pending::<()>().await;
        };
        let mut told = pin!(beside.tell(story));
        for _ in 0..2 {
            assert!((&mut told).now_or_never().is_none(), "the story goes on");
        }
        assert_eq!(*steps.borrow(), 2);
        assert!(beside.done().now_or_never().is_some());
    }

    #[test]
    fn for_a_booking_that_began_before_it_goes_on_afterwards_in_order() {
        let (beside, first, second) = (Beside::new(false), Rc::default(), Rc::default());
        let story = async {
            beside.start(pending());
            beside.start(two_steps(&first));
        };
        assert!(beside.tell(story).now_or_never().is_some());
        for _ in 0..3 {
            assert!(beside.done().now_or_never().is_none());
        }
        assert_eq!(*first.borrow(), 0, "another is before it");

        let beside = Beside::new(false);
        beside.start(two_steps(&first));
        beside.start(two_steps(&second));
        for _ in 0..4 {
            let _ = beside.done().now_or_never();
        }
        assert_eq!((*first.borrow(), *second.borrow()), (2, 2));
    }
}
