import EventLoop
import Fleet
import Foundation
import Logging
import Redis
import Synchronization

/// Carries input and cancellations to the gateway that serves an execution, and its answer back.
///
/// Every gateway listens on one Redis channel, `martlet:gateway:{id}`, so an execution costs no subscription of its
/// own. A request is answered once it was carried out, which is the back-pressure for stdin. Bounds: a caller has one
/// request under way and waits ``answerTimeout`` for the answer; the receiving end holds stdin no longer than that, and
/// of ``concurrency`` requests at a time: those over it are refused. A cancellation waits for nothing and is not counted.
final class GatewayLink: Sendable {
    struct Request: Codable, Sendable {
        enum Operation: String, Codable, Sendable { case stdin, end, cancel }
        var operation: Operation
        var execution: ExecutionID
        var user: UserID
        var bytes: Data?
    }

    private struct Envelope: Codable, Sendable {
        struct Failure: Codable, Sendable {
            var code: ServiceError.Code
            var message: String
            var hint: String
        }
        var id: UUID
        var replyTo: String?  // with a request
        var request: Request?
        var failure: Failure?  // with an answer that is a refusal
    }

    static let concurrency = 256

    private let answerTimeout: Duration
    private let redis: RedisClient
    let gatewayID: String
    private let logger: Logger
    private let pending = Mutex<[UUID: Waiter<Void>]>([:])
    private let underWay = Mutex(0)  // requests with stdin, being carried out here

    init(redis: RedisClient, gatewayID: String, answerTimeout: Duration = .seconds(30), logger: Logger) {
        self.redis = redis
        self.answerTimeout = answerTimeout
        self.gatewayID = gatewayID
        self.logger = logger
    }

    /// Listens until cancelled, carrying out what other gateways ask.
    func run(_ perform: @escaping @Sendable (Request) async throws -> Void) async throws {
        try await redis.withSubscription(to: [Self.channel(of: gatewayID)]) { messages in
            try await withThrowingDiscardingTaskGroup { group in
                for try await message in messages {
                    guard case .message(_, let payload) = message else { continue }  // senders time out and say so
                    guard let envelope = try? JSONDecoder().decode(Envelope.self, from: Data(payload)) else {
                        logger.warning("message of another gateway does not decode")
                        continue
                    }
                    guard let request = envelope.request else {
                        settle(envelope)
                        continue
                    }
                    guard request.operation == .stdin else {
                        group.addTask { await self.answer(envelope) { try await perform(request) } }
                        continue
                    }
                    let isTaken = underWay.withLock { count in
                        guard count < Self.concurrency else { return false }
                        count += 1
                        return true
                    }
                    group.addTask { [answerTimeout] in
                        defer { if isTaken { self.underWay.withLock { $0 -= 1 } } }
                        await self.answer(envelope) {
                            guard isTaken else { throw Self.busy }
                            // Its sender waits no longer either.
                            try await withDeadline(answerTimeout, "room for stdin") { try await perform(request) }
                        }
                    }
                }
            }
        }
    }

    /// Has `gateway` carry out the request. Throws what it threw, or `execution_lost` when that gateway is gone.
    func send(_ request: Request, to gateway: String) async throws {
        let id = UUID()
        let answer = Waiter<Void>()
        pending.withLock { $0[id] = answer }
        defer { _ = pending.withLock { $0.removeValue(forKey: id) } }
        let envelope = Envelope(id: id, replyTo: Self.channel(of: gatewayID), request: request)
        guard try await publish(envelope, to: Self.channel(of: gateway)) > 0 else {
            throw ServiceError(
                .executionLost, "The gateway that served execution \(request.execution) is gone, and the run with it.",
                hint: "Look at what it left before you run it again.")
        }
        do {
            try await withDeadline(answerTimeout, "answer") { try await answer.value() }
        } catch is DeadlineExceeded {
            throw ServiceError(
                .requestTimeout, "The execution did not take the input within \(answerTimeout).",
                hint: "The program may not be reading its stdin. Part of the input may have been taken.")
        }
    }

    private func settle(_ envelope: Envelope) {
        let waiter = pending.withLock { $0[envelope.id] }
        if let failure = envelope.failure {
            waiter?.resume(
                with: .failure(ServiceError(failure.code, failure.message, hint: failure.hint)))
        } else {
            waiter?.resume(with: .success(()))
        }
    }

    private func answer(_ envelope: Envelope, _ perform: () async throws -> Void) async {
        var reply = Envelope(id: envelope.id)
        do {
            try await perform()
        } catch let error as ServiceError {
            reply.failure = Envelope.Failure(code: error.code, message: error.message, hint: error.hint)
        } catch {
            return  // too late for its sender, or this gateway is going down
        }
        guard let channel = envelope.replyTo else { return }
        do {
            _ = try await publish(reply, to: channel)
        } catch {
            logger.warning("answer to another gateway not sent", metadata: ["error": "\(error)"])
        }
    }

    private func publish(_ envelope: Envelope, to channel: String) async throws -> Int {
        let payload = RedisArgument([UInt8](try JSONEncoder().encode(envelope)))
        guard case .integer(let receivers) = try await redis.command("PUBLISH", RedisArgument(channel), payload) else {
            return 0
        }
        return receivers
    }

    private static func channel(of gateway: String) -> String { "martlet:gateway:\(gateway)" }

    private static var busy: ServiceError {
        ServiceError(.tooManyExecutions, "The gateway of that execution is busy.", hint: "Try again in a moment.")
    }
}
