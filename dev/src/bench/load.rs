//! Load: closed (so many at a time) and open (so many a second, whatever becomes of them).

use futures::{StreamExt, future::join_all, stream};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Keeps so many under way until all are done, and tells how long each took, in milliseconds.
pub async fn closed<I, R>(at_once: usize, inputs: Vec<I>, work: impl AsyncFn(I) -> R) -> Vec<(f64, R)> {
    let timed = stream::iter(inputs).map(async |input| {
        let began = Instant::now();
        let done = work(input).await;
        (milliseconds(began), done)
    });
    timed.buffer_unordered(at_once).collect().await
}

/// Begins so many a second at fixed times, whatever became of those before, and tells how long after its time each was done, in
/// milliseconds: who is late because others were slow is late (no coordinated omission).
pub async fn open<I, R>(each_second: f64, inputs: Vec<I>, work: impl AsyncFn(I) -> R) -> Vec<(f64, R)> {
    let began = Instant::now();
    let pause = Duration::from_secs_f64(1.0 / each_second);
    join_all(inputs.into_iter().zip(0_u32..).map(async |(input, number)| {
        let due = began + pause * number;
        sleep_until(due).await;
        let done = work(input).await;
        (milliseconds(due), done)
    }))
    .await
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One is slow, and has the only place: those after it are late by its doing, and an open loop says so.
    #[tokio::test(start_paused = true)]
    async fn who_waits_behind_a_slow_one_is_late() {
        let place = tokio::sync::Mutex::new(());
        let slow_first = async |number: u32| {
            let _place = place.lock().await;
            if number == 0 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let late: Vec<f64> = open(10.0, (0..5).collect(), slow_first).await.into_iter().map(|(ms, ())| ms).collect();
        assert!((late[4] - 600.0).abs() < 5.0, "due after 400 ms, done after 1000: {late:?}");
        let took = closed(1, (0..5).collect(), slow_first).await;
        assert!(took[4].0 < 5.0, "a closed loop does not see it: {took:?}");
    }
}
