package import EventLoop
package import Logging

/// A Redis server as the rest of the program sees it: commands and scripts over one shared pipelined connection,
/// subscriptions over a second, and connections of their own for commands that block.
///
/// Layers, lowest first: ``RedisSocket`` opens descriptors; ``Link`` keeps one of them connected and logged in and
/// turns its bytes into replies (``ReplyReader``, hiredis' parser); ``RedisConnection`` matches replies to commands
/// and ``PubSub`` messages to subscribers. hiredis' own asynchronous context is not used: its buffers know no bound,
/// its callbacks fire while it frees itself, and a pending reply cannot be given up. All of it lives on one event
/// loop and starts no task: without a caller nothing runs. A connection is made when first needed.
package final class RedisClient: Sendable {
    private let endpoint: RedisEndpoint
    private let loop: EventLoop
    private let logger: Logger
    private let shared: RedisConnection
    private let pubSub: PubSub

    /// `url` is `redis://[[user]:password@]host[:port][/database]` or `unix:///path[?db=database]`.
    package init(url: String, logger: Logger, loop: EventLoop = .next()) throws(RedisError) {
        endpoint = try RedisEndpoint(url: url)
        self.loop = loop
        self.logger = logger
        shared = RedisConnection(endpoint: endpoint, loop: loop, logger: logger)
        pubSub = PubSub(endpoint: endpoint, loop: loop, logger: logger)
    }

    /// Where the server is, without the password.
    package var server: String { endpoint.description }

    /// Carries out one command; see ``RedisConnection`` for what a failure means. An error reply is thrown.
    @discardableResult
    package func command(_ words: RedisArgument...) async throws -> RedisValue {
        try await shared.command(words)
    }

    @discardableResult
    package func command(_ words: [RedisArgument]) async throws -> RedisValue {
        try await shared.command(words)
    }

    /// Sends all the commands at once and returns all replies in order; some may be errors. Not a transaction.
    package func pipeline(_ commands: [[RedisArgument]]) async throws -> [RedisValue] {
        try await shared.pipeline(commands)
    }

    /// Runs a script on the server, by its digest once the server knows it. An error reply is thrown.
    @discardableResult
    package func eval(
        _ script: RedisScript, keys: [String], arguments: [RedisArgument] = []
    ) async throws -> RedisValue {
        let tail = [RedisArgument(keys.count)] + keys.map { RedisArgument($0) } + arguments
        if let digest = script.digest {
            let reply = try await shared.pipeline([["EVALSHA", RedisArgument(digest)] + tail])[0]
            guard case .error(let text) = reply else { return reply }
            // The server was restarted or its scripts were flushed. NOSCRIPT comes before anything is carried out.
            guard text.hasPrefix("NOSCRIPT") else { throw RedisError(.server, text) }
        }
        let replies = try await shared.pipeline([
            ["SCRIPT", "LOAD", RedisArgument(script.source)], ["EVAL", RedisArgument(script.source)] + tail,
        ])
        if let digest = replies[0].text { script.digest = digest }
        if case .error(let text) = replies[1] { throw RedisError(.server, text) }
        return replies[1]
    }

    /// Subscribes and calls `body` once the server has confirmed it, so that nothing published from then on is
    /// missed. Unsubscribes when `body` ends. Throws `.timeout` when not confirmed within 5 s.
    @discardableResult
    package func withSubscription<R>(
        to channels: [String], _ body: (RedisSubscription) async throws -> R
    ) async throws -> R {
        let (number, mailbox) = try await pubSub.join(Set(channels))
        do {
            let result = try await body(RedisSubscription(mailbox: mailbox))
            await pubSub.leave(number)
            return result
        } catch {
            await pubSub.leave(number)
            throw error
        }
    }

    /// Lends a connection of its own, for commands that block, and closes it. `name` is what `CLIENT LIST` shows.
    @discardableResult
    package func withBlockingConnection<R>(
        name: String?, _ body: (RedisConnection) async throws -> R
    ) async throws -> R {
        let connection = RedisConnection(endpoint: endpoint, name: name, loop: loop, logger: logger)
        do {
            let result = try await body(connection)
            await connection.close()
            return result
        } catch {
            await connection.close()
            throw error
        }
    }

    /// How many commands of the shared connection wait for their reply. For metrics.
    package func pendingCommands() async -> Int { await shared.pending }

    /// Closes the connections; commands under way and later ones fail with `.closed`, subscriptions end.
    package func close() async {
        await shared.close()
        await pubSub.close()
    }
}
