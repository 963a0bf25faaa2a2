import EventLoop
import Synchronization

/// What a subscription yields.
package enum RedisMessage: Hashable, Sendable {
    case message(channel: String, payload: [UInt8])
    /// Messages may have been missed: the connection was lost and stands again, or the reader was too slow. Look at
    /// the state the messages speak of.
    case resubscribed
}

/// Messages of the channels subscribed to, from the moment ``RedisClient/withSubscription(to:_:)`` called the body.
/// At most ``limit`` wait to be read (and at most ``byteLimit`` bytes); past that all are dropped for one
/// `.resubscribed`. For one reader; ends when the client is closed or the body left. Cancelling the reader throws.
package struct RedisSubscription: AsyncSequence, Sendable {
    package typealias Element = RedisMessage
    package static let limit = 1_024
    package static let byteLimit = 8 << 20

    let mailbox: Mailbox

    package struct AsyncIterator: AsyncIteratorProtocol {
        let mailbox: Mailbox
        package mutating func next() async throws -> RedisMessage? { try await mailbox.take() }
    }

    package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(mailbox: mailbox) }
}

/// The messages one subscriber has not read yet.
final class Mailbox: Sendable {
    private struct State {
        var messages = RequestQueue<RedisMessage>()
        var byteCount = 0
        var reader: Waiter<RedisMessage?>?
        var isEnded = false
    }
    private let state = Mutex(State())

    func put(_ message: RedisMessage) {
        let reader: Waiter<RedisMessage?>? = state.withLock { state in
            guard !state.isEnded else { return nil }
            if let reader = state.reader {
                state.reader = nil
                return reader
            }
            state.messages.append(message)
            state.byteCount += message.byteCount
            if state.messages.count > RedisSubscription.limit || state.byteCount > RedisSubscription.byteLimit {
                state.messages = RequestQueue()
                state.messages.append(.resubscribed)
                state.byteCount = 0
            }
            return nil
        }
        reader?.resume(with: .success(message))
    }

    func end() {
        let reader = state.withLock { state in
            state.isEnded = true
            defer { state.reader = nil }
            return state.reader
        }
        reader?.resume(with: .success(nil))
    }

    /// The next message; nil at the end, after what was put before it.
    func take() async throws -> RedisMessage? {
        let waiter = Waiter<RedisMessage?>()
        let ready: Result<RedisMessage?, any Error>? = state.withLock { state in
            precondition(state.reader == nil, "a subscription is read by two tasks")
            if let message = state.messages.removeFirst() {
                state.byteCount -= message.byteCount
                return .success(message)
            }
            if state.isEnded { return .success(nil) }
            state.reader = waiter
            return nil
        }
        if let ready { return try ready.get() }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { waiter.hold($0) }
        } onCancel: {
            state.withLock { state in
                if state.reader === waiter { state.reader = nil }
            }
            waiter.resume(with: .failure(CancellationError()))
        }
    }
}

extension RedisMessage {
    fileprivate var byteCount: Int {
        if case .message(let channel, let payload) = self { channel.utf8.count + payload.count } else { 0 }
    }
}
