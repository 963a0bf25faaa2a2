/// Blocks waiting for their time on one loop. Sorted by deadline; equal deadlines run in the order they were set.
///
/// Nearly every timer is a deadline that is cancelled, so cancelling is one dictionary removal and the sorted list
/// forgets the entry later: when it surfaces, or once the cancelled outnumber the live.
struct TimerQueue {
    private var blocks: [EventLoop.TimerID: () -> Void] = [:]
    private var order: [EventLoop.TimerID] = []  // latest first: the due ones are popped from the end
    private var lastNumber: UInt64 = 0

    mutating func insert(at deadline: ContinuousClock.Instant, _ block: @escaping () -> Void)
        -> EventLoop.TimerID
    {
        lastNumber += 1
        let timer = EventLoop.TimerID(deadline: deadline, number: lastNumber)
        var low = 0
        var high = order.count
        while low < high {
            let middle = (low + high) / 2
            if order[middle].deadline > deadline { low = middle + 1 } else { high = middle }
        }
        order.insert(timer, at: low)
        blocks[timer] = block
        return timer
    }

    mutating func remove(_ timer: EventLoop.TimerID) {
        guard blocks.removeValue(forKey: timer) != nil else { return }
        if order.count > 64, order.count > 2 * blocks.count { order.removeAll { blocks[$0] == nil } }
    }

    /// The next block whose time has come, taken out.
    mutating func popDue(_ now: ContinuousClock.Instant) -> (() -> Void)? {
        dropCancelled()
        guard let timer = order.last, timer.deadline <= now else { return nil }
        order.removeLast()
        return blocks.removeValue(forKey: timer)
    }

    /// For `epoll_wait`: rounded up, so that no timer is early; -1 when none waits.
    mutating func millisecondsToNext() -> Int32 {
        dropCancelled()
        guard let next = order.last else { return -1 }
        let (seconds, attoseconds) = (next.deadline - .now).components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        return Int32(
            min(seconds, 86_400) * 1_000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }

    private mutating func dropCancelled() {
        while let timer = order.last, blocks[timer] == nil { order.removeLast() }
    }
}
