import Foundation
import Logging
import Redis

/// What a subscriber to an environment hears.
package enum EnvironmentSignal: Sendable, Hashable {
    /// It moved. `message` says why, for `error`.
    case moved(EnvironmentState, generation: Int, message: String?)
    /// Something may have been missed: read the row.
    case resubscribed
}

/// Tells moves of environments on the Redis channel `vm:{environmentId}`, as JSON
/// `{"state", "generation", "message"?}`, and the same on `user-vms:{userId}` for those who watch all of a user's.
///
/// A signal is a hint: it may be lost, and two that different servers send may overtake each other, so one with a
/// generation below the known one says nothing new. The row is the truth. So: subscribe, then read the row, then wait,
/// with a deadline, and read the row again.
package struct EnvironmentSignals: Sendable {
    let redis: RedisClient
    let logger: Logger

    private struct Message: Codable {
        let state: EnvironmentState
        let generation: Int
        let message: String?
    }

    /// Tells where the environment is now. Throws nothing: a failure is logged.
    package func publish(_ environment: Environment) async {
        let message = Message(
            state: environment.state, generation: environment.generation, message: environment.errorMessage)
        do {
            let payload = Array(try JSONEncoder().encode(message))
            let channels = [Self.channel(environment.id), Self.channel(ofOwner: environment.userID)]
            let replies = try await redis.pipeline(
                channels.map { ["PUBLISH", RedisArgument($0), RedisArgument(payload)] })
            for case .error(let text) in replies { throw RedisError(.server, text) }
        } catch {
            logger.warning(
                "signal of an environment not published",
                metadata: ["environment_id": "\(environment.id)", "error": "\(error)"])
        }
    }

    /// Calls `body` once the subscription stands: no move committed from then on goes unheard, save for
    /// ``EnvironmentSignal/resubscribed``.
    package func withSubscription<Result>(
        to id: EnvironmentID, _ body: (EnvironmentSignalSequence) async throws -> Result
    ) async throws -> Result {
        try await ServiceError.translating("Environment \(id) not watched") {
            try await redis.withSubscription(to: [Self.channel(id)]) { subscription in
                try await body(EnvironmentSignalSequence(subscription: subscription))
            }
        }
    }

    /// The same for all of a user's environments, those that are yet to be made among them.
    package func withSubscription<Result>(
        toOwner id: UserID, _ body: (EnvironmentSignalSequence) async throws -> Result
    ) async throws -> Result {
        try await ServiceError.translating("Environments of user \(id) not watched") {
            try await redis.withSubscription(to: [Self.channel(ofOwner: id)]) { subscription in
                try await body(EnvironmentSignalSequence(subscription: subscription))
            }
        }
    }

    static func channel(ofOwner id: UserID) -> String { "user-vms:\(id)" }

    static func channel(_ id: EnvironmentID) -> String { "vm:\(id)" }

    /// What cannot be read counts as missed.
    static func signal(_ payload: [UInt8]) -> EnvironmentSignal {
        guard let message = try? JSONDecoder().decode(Message.self, from: Data(payload)) else { return .resubscribed }
        return .moved(message.state, generation: message.generation, message: message.message)
    }
}

/// The signals of one environment, for one reader.
package struct EnvironmentSignalSequence: AsyncSequence, Sendable {
    let subscription: RedisSubscription

    package struct AsyncIterator: AsyncIteratorProtocol {
        var messages: RedisSubscription.AsyncIterator

        package mutating func next() async throws -> EnvironmentSignal? {
            switch try await messages.next() {
            case .message(_, let payload): EnvironmentSignals.signal(payload)
            case .resubscribed: .resubscribed
            case nil: nil
            }
        }
    }

    package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(messages: subscription.makeAsyncIterator()) }
}
