import CLinux
import Foundation
import Synchronization

/// One thread over one epoll set, which is also a `SerialExecutor`.
///
/// libssh2, libpq, hiredis and libcurl are the same thing: a state machine over a descriptor that says "call me
/// again when it is readable or writable, or after some time". A connection is therefore an actor whose
/// `unownedExecutor` is its loop: every call into the C library happens on the loop's thread and needs no lock, and
/// waiting for the descriptor suspends a task, never a thread.
///
/// One turn of the loop: wait for events (at most until the next timer), run the handlers of ready descriptors, run
/// due timers, then run every job and block that was enqueued meanwhile, and what these enqueue, a few times over. Other threads write to an eventfd, but only
/// when the loop is about to wait or waiting. Loops live as long as the process: there is no shutdown to get wrong.
///
/// `@unchecked Sendable`: `thread` is written once before `start` returns, and
/// everything in `Registry` is touched on the loop's thread only, which ``assertIsolated()`` checks at each entry.
package final class EventLoop: SerialExecutor, @unchecked Sendable {
    /// What a descriptor is watched for, and what it was found ready for. An error or hang-up counts as both, so
    /// that whoever waits calls the library again and learns of it there.
    package struct Readiness: OptionSet, Sendable {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }
        package static let read = Readiness(rawValue: EPOLLIN.rawValue)
        package static let write = Readiness(rawValue: EPOLLOUT.rawValue)
    }

    /// Names one scheduled block, to cancel it.
    package struct TimerID: Hashable, Sendable {
        let deadline: ContinuousClock.Instant
        let number: UInt64
    }

    private struct Watch {
        let generation: UInt32
        var interest: Readiness
        let handler: (Readiness) -> Void
    }

    private let epoll: Int32
    private let queue: LoopQueue
    private let thread = Mutex<pthread_t?>(nil)

    // The registry: on the loop's thread only.
    private var watches: [Int32: Watch] = [:]
    private var lastGeneration: UInt32 = 0
    private var timers = TimerQueue()

    /// The loops of this process, one for two cores, four at most; started at first use. What talks to one another is on
    /// one thread then, which costs less than a second thread gains: a thread that is woken takes 50 us to come.
    package static let pool: [EventLoop] = (0..<min(max(ProcessInfo.processInfo.activeProcessorCount / 2, 1), 4)).map {
        EventLoop(name: "event-loop-\($0)")
    }

    /// Where tasks run that are to stay on this loop's thread between the calls of its actors: then such a call costs no
    /// change of threads. For what answers a request; what computes for long keeps the loop from all its descriptors.
    package let tasks: any TaskExecutor

    /// Descriptors and timers wait for no more than so many rounds of jobs.
    private static let roundsInOneTurn = 16
    private static let turn = Atomic<Int>(0)

    /// The next loop of ``pool``, in turn: where a new connection goes that has no reason to prefer one.
    package static func next() -> EventLoop {
        let turn = Self.turn.wrappingAdd(1, ordering: .relaxed).oldValue
        return pool[Int(UInt(bitPattern: turn) % UInt(pool.count))]
    }

    private init(name: String) {
        epoll = clinux_epoll()
        queue = LoopQueue()
        tasks = LoopTasks(queue: queue)
        precondition(epoll >= 0, "no epoll descriptor left at start")
        control(EPOLL_CTL_ADD, queue.wake, .read, generation: 0)
        var created = pthread_t()
        let context = Unmanaged.passRetained(self).toOpaque()  // never released: the thread never ends
        let code = pthread_create(
            &created, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<EventLoop>.fromOpaque(context).takeUnretainedValue().run()
                return nil
            }, context)
        precondition(code == 0, "no thread for an event loop at start")
        let handle = created
        thread.withLock { $0 = handle }
        _ = pthread_setname_np(handle, name)
    }

    // MARK: SerialExecutor

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.submit { $0.jobs.append(LoopQueue.Job(job: job, isOfTask: false)) }
    }

    /// Runs `block` on the loop's thread, soon, from any thread.
    package func execute(_ block: @escaping @Sendable () -> Void) {
        queue.submit { $0.blocks.append(block) }
    }

    package func checkIsolated() { precondition(isCurrent, "called off the loop's thread") }
    package func isIsolatingCurrentContext() -> Bool? { isCurrent }

    /// The loop on whose thread the caller runs, if that is one.
    package static var current: EventLoop? { pool.first { $0.isCurrent } }

    /// Whether the caller runs on this loop's thread.
    package var isCurrent: Bool {
        thread.withLock { thread in thread.map { pthread_equal($0, pthread_self()) != 0 } ?? false }
    }

    // MARK: Descriptors

    /// Calls `handler` on the loop whenever `descriptor` is ready for something it is watched for, until ``unwatch``.
    /// Level-triggered. Call on the loop; one watch a descriptor.
    package func watch(
        _ descriptor: Int32, for interest: Readiness, _ handler: @escaping (Readiness) -> Void
    ) {
        assertIsolated()
        precondition(watches[descriptor] == nil, "descriptor \(descriptor) is already watched")
        lastGeneration &+= 1
        watches[descriptor] = Watch(generation: lastGeneration, interest: interest, handler: handler)
        control(EPOLL_CTL_ADD, descriptor, interest, generation: lastGeneration)
    }

    /// Changes what a watched descriptor is watched for; empty keeps the watch but calls no handler, save for errors.
    package func setInterest(of descriptor: Int32, to interest: Readiness) {
        assertIsolated()
        guard let watch = watches[descriptor], watch.interest != interest else { return }
        watches[descriptor]?.interest = interest
        control(EPOLL_CTL_MOD, descriptor, interest, generation: watch.generation)
    }

    /// Ends the watch; does nothing if it is not watched. Call before the descriptor is closed, unless it is a library's
    /// that closes first and tells then (`mayBeClosed`): by that the kernel has ended the watch.
    package func unwatch(_ descriptor: Int32, mayBeClosed: Bool = false) {
        assertIsolated()
        guard watches.removeValue(forKey: descriptor) != nil else { return }
        // ENOENT: the number is another file's already.
        control(EPOLL_CTL_DEL, descriptor, [], generation: 0, accepting: mayBeClosed ? [EBADF, ENOENT] : [])
    }

    private func control(
        _ operation: Int32, _ descriptor: Int32, _ interest: Readiness, generation: UInt32,
        accepting codes: [Int32] = []
    ) {
        let token = UInt64(generation) << 32 | UInt64(UInt32(bitPattern: descriptor))
        var event = epoll_event(events: interest.rawValue, data: epoll_data_t(u64: token))
        let result = epoll_ctl(epoll, operation, descriptor, &event)
        let code = errno
        precondition(
            result == 0 || codes.contains(code), "epoll_ctl \(operation) on descriptor \(descriptor): errno \(code)")
    }

    // MARK: Timers

    /// Calls `block` on the loop once, not before `delay` has passed. Call on the loop.
    @discardableResult
    package func schedule(after delay: Duration, _ block: @escaping () -> Void) -> TimerID {
        assertIsolated()
        return timers.insert(at: .now + delay, block)
    }

    /// Cancels a scheduled block; does nothing if it has run. Call on the loop.
    package func cancel(_ timer: TimerID) {
        assertIsolated()
        timers.remove(timer)
    }

    // MARK: The thread

    private func run() {
        thread.withLock { $0 = pthread_self() }
        var events = [epoll_event](repeating: epoll_event(), count: 256)
        var jobs: [LoopQueue.Job] = []
        var blocks: [@Sendable () -> Void] = []
        let tasks = tasks.asUnownedTaskExecutor()
        while true {
            let mayWait = queue.inbox.withLock { inbox in
                inbox.isWaiting = inbox.isEmpty
                return inbox.isWaiting
            }
            let count = epoll_wait(
                epoll, &events, Int32(events.count), mayWait ? timers.millisecondsToNext() : 0)
            let code = errno
            queue.inbox.withLock { $0.isWaiting = false }
            precondition(count >= 0 || code == EINTR, "epoll_wait: errno \(code)")
            for event in events.prefix(Int(max(0, count))) { dispatch(event) }
            let now = ContinuousClock.now
            while let block = timers.popDue(now) { block() }
            // What a job hands to the next is done in the same turn, so that a chain of them asks the kernel nothing.
            for _ in 0..<Self.roundsInOneTurn {
                queue.inbox.withLock { inbox in
                    swap(&inbox.jobs, &jobs)
                    swap(&inbox.blocks, &blocks)
                }
                if jobs.isEmpty, blocks.isEmpty { break }
                for block in blocks { block() }
                for job in jobs {
                    if job.isOfTask {
                        job.job.runSynchronously(on: tasks)
                    } else {
                        job.job.runSynchronously(on: asUnownedSerialExecutor())
                    }
                }
                blocks.removeAll(keepingCapacity: true)
                jobs.removeAll(keepingCapacity: true)
            }
        }
    }

    private func dispatch(_ event: epoll_event) {
        let descriptor = Int32(truncatingIfNeeded: event.data.u64)
        if descriptor == queue.wake { return clinux_eventfd_drain(queue.wake) }
        // A handler earlier in this turn may have closed the descriptor, and its number may be in use again.
        guard let watch = watches[descriptor], watch.generation == UInt32(event.data.u64 >> 32) else {
            return
        }
        let failed = event.events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
        watch.handler(
            failed ? [.read, .write] : Readiness(rawValue: event.events).intersection([.read, .write]))
    }
}

/// What others have for a loop's thread to do.
private final class LoopQueue: Sendable {
    /// What an actor has to do on its loop, or a task that prefers the loop and is in no actor.
    struct Job {
        let job: UnownedJob
        let isOfTask: Bool
    }

    struct Inbox {
        var jobs: [Job] = []
        var blocks: [@Sendable () -> Void] = []
        var isWaiting = false
        var isEmpty: Bool { jobs.isEmpty && blocks.isEmpty }
    }

    let wake = clinux_eventfd()
    let inbox = Mutex(Inbox())

    init() { precondition(wake >= 0, "no eventfd descriptor left at start") }

    func submit(_ add: (inout Inbox) -> Void) {
        let mustWake = inbox.withLock { inbox in
            add(&inbox)
            defer { inbox.isWaiting = false }
            return inbox.isWaiting
        }
        if mustWake { clinux_eventfd_signal(wake) }
    }
}

/// A loop as the executor that tasks prefer (SE-0417).
private final class LoopTasks: TaskExecutor {
    private let queue: LoopQueue

    init(queue: LoopQueue) { self.queue = queue }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.submit { $0.jobs.append(LoopQueue.Job(job: job, isOfTask: true)) }
    }
}
