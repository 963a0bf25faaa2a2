import EventLoop
import Foundation
import Logging
import Redis
import Synchronization
import TestSupport
import Testing

@testable import JobQueue

/// A client of BullMQ's own, driven by `Python/driver.py` in a process of its own: orders and answers go through lists
/// of the Redis under test.
final class PythonClient: Sendable {
    /// The two generations in use: they lay the queue out alike but for the `paused` list (sheet, section 9).
    enum Generation: String, CaseIterable, Sendable, CustomTestStringConvertible {
        case five = "2.26.0"
        case six = "3.4.4"

        var testDescription: String { "bullmq \(rawValue)" }
    }

    let generation: Generation
    private let redis: RedisClient
    private let mailbox: String
    private let child: ChildProcess
    private let orders = Mutex(0)

    private init(_ generation: Generation, redis: RedisClient, mailbox: String, child: ChildProcess) {
        self.generation = generation
        self.redis = redis
        self.mailbox = mailbox
        self.child = child
    }

    /// Lends a process with the client, and ends it.
    static func with<R>(_ generation: Generation, _ body: (PythonClient) async throws -> R) async throws -> R {
        var logger = Logger(label: "martlet.jobqueue.python")
        logger.logLevel = .critical
        let redis = try RedisClient(url: LiveRedis.url, logger: logger)
        let mailbox = "driver:\(UUID())"
        var command = ChildProcess.Command(
            "\(Environments.directory)/\(generation.rawValue)/bin/python",
            ["\(Environments.sources)/driver.py", LiveRedis.url, mailbox])
        command.error = .inherited
        command.endsWithParent = .kill
        let client = PythonClient(
            generation, redis: redis, mailbox: mailbox, child: try await ChildProcess.start(command))
        do {
            let result = try await body(client)
            await client.end()
            return result
        } catch {
            await client.end()
            throw error
        }
    }

    private func end() async {
        await kill()
        await redis.close()
    }

    /// As `kill -9` does; its jobs stay as they are.
    func kill() async {
        await child.send(.kill)
        _ = try? await Task { [child] in try await child.wait() }.value  // although the test may be cancelled
    }

    /// What it answered, or the error that its client raised.
    struct Raised: Error, CustomStringConvertible { let description: String }

    @discardableResult
    func order(_ what: String, _ fields: [String: JSON] = [:]) async throws -> JSON {
        let number = orders.withLock { number in
            number += 1
            return number
        }
        var fields = fields
        fields["do"] = .string(what)
        fields["number"] = .number(Double(number))
        let text = try JSON.object(fields).text
        try await redis.command("RPUSH", "\(mailbox):orders", RedisArgument(text))
        let key: RedisArgument = "\(mailbox):answer:\(number)"
        let answer = try await eventually(
            within: .seconds(60), describing: "answer of bullmq \(generation.rawValue) to \(text.prefix(200))",
            read: { try await redis.command("LPOP", key) }, until: { !$0.isNull })
        let json = try JSON(text: answer.text ?? "")
        if let error = json["error"].string { throw Raised(description: error) }
        return json["value"]
    }

    @discardableResult
    func add(_ queue: JobQueue, _ name: String, data: JSON = [:], opts: JSON = [:]) async throws -> String {
        let fields: [String: JSON] = ["queue": .string(queue.name), "name": .string(name), "data": data, "opts": opts]
        return try await order("add", fields).string ?? ""
    }

    @discardableResult
    func call(_ queue: JobQueue, _ method: String, _ arguments: JSON...) async throws -> JSON {
        try await order(
            "call_queue", ["queue": .string(queue.name), "method": .string(method), "arguments": .array(arguments)])
    }

    func call(_ queue: JobQueue, job: String, _ method: String, _ arguments: JSON...) async throws {
        try await order(
            "call_job",
            [
                "queue": .string(queue.name), "id": .string(job), "method": .string(method),
                "arguments": .array(arguments),
            ])
    }

    func show(_ queue: JobQueue, _ id: String) async throws -> JSON {
        try await order("show", ["queue": .string(queue.name), "id": .string(id)])
    }

    /// Starts a worker; it does what each job's data say.
    func work(_ queue: JobQueue, _ options: JSON = [:]) async throws {
        try await order("work", ["queue": .string(queue.name), "options": options])
    }

    /// Lets its workers work while `body` runs.
    @discardableResult
    func working<R>(_ queue: JobQueue, _ options: JSON = [:], _ body: () async throws -> R) async throws -> R {
        try await work(queue, options)
        do {
            let result = try await body()
            try await order("rest")
            return result
        } catch {
            _ = try? await order("rest")
            throw error
        }
    }

    struct Start: Hashable, Sendable {
        let id: String
        let name: String
        let at: Int  // ms
    }

    /// The starts of jobs by its workers, in order.
    func starts(of ids: [String], in queue: JobQueue) async throws -> [Start] {
        let rows = try await redis.command("LRANGE", "\(mailbox):starts", 0, -1).elements ?? []
        return try rows.map { try JSON(text: $0.text ?? "") }.compactMap { row in
            guard let id = row["id"].string, let name = row["name"].string, let at = row["at"].int else { return nil }
            return row["queue"].string == queue.name && ids.contains(id) ? Start(id: id, name: name, at: at) : nil
        }
    }
}

/// Both generations, each in a process, for all the tests of a suite. Where there is no PyPI to make the environments
/// from the tests are left out with a printed reason, and fail in continuous integration.
struct PythonClients: SuiteTrait, TestScoping {
    @TaskLocal static var clients: [PythonClient.Generation: PythonClient] = [:]

    func provideScope(
        for test: Test, testCase: Test.Case?, performing tests: @concurrent @Sendable () async throws -> Void
    ) async throws {
        do {
            try await Environments.make()
        } catch {
            guard ProcessInfo.processInfo.environment["CI"] == nil else { throw error }
            return print("skipped: \(test.name), for BullMQ's Python clients cannot be had: \(error)")
        }
        try await PythonClient.with(.five) { five in
            try await PythonClient.with(.six) { six in
                try await Self.$clients.withValue([.five: five, .six: six]) { try await tests() }
            }
        }
    }
}

extension PythonClient.Generation {
    /// The suite's process of this generation.
    var client: PythonClient {
        get throws { try #require(PythonClients.clients[self], "the suite lacks PythonClients()") }
    }
}

private enum Environments {
    private static let root = (#filePath as NSString).deletingLastPathComponent + "/../../.."
    static let sources = root + "/Tests/JobQueueTests/Python"
    static let directory = root + "/.build/bullmq-clients"

    /// Makes those that are missing; a minute where they are, nothing where not.
    static func make() async throws {
        let output = try await ChildProcess.run(
            ChildProcess.Command("\(root)/.ci/bullmq-clients"), deadline: .seconds(300))
        guard output.ending.isSuccess else {
            throw PythonClient.Raised(
                description: ".ci/bullmq-clients \(output.ending): \(output.errorText.suffix(500))")
        }
    }
}
