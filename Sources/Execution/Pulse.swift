import EventLoop
import Synchronization

/// Shows life on a run's stream while the run says nothing. A timer and no task: one that sleeps takes 4 KB, for each of
/// thousands of runs.
final class Pulse: Sendable {
    private let events: EventQueue
    private let silence: Duration
    private let loop = EventLoop.current ?? .next()
    private let timer = Mutex<EventLoop.TimerID?>(nil)  // changed on the loop only

    /// Beats from now on, until ``stop()`` or the end of the events.
    init(_ events: EventQueue, after silence: Duration) {
        self.events = events
        self.silence = silence
        loop.execute { [self] in beat() }
    }

    func stop() {
        loop.execute { [self] in
            if let last = timer.withLock({ $0 }) { loop.cancel(last) }
        }
    }

    private func beat() {
        guard let due = events.keepAlive(after: silence) else { return }
        let next = loop.schedule(after: due - .now) { [self] in beat() }
        timer.withLock { $0 = next }
    }
}
