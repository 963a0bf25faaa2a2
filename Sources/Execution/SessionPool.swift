import Fleet
import Logging
import SSH
import Synchronization

/// The SSH sessions of this gateway, one for each VM it has lately run something in. All executions of a VM share
/// its session, each on a channel of its own, and callers who want a new one at once share one attempt to connect.
///
/// Bound: ``capacity`` sessions; beyond, the one unused longest is closed. A dead session is found out when it is
/// asked for, one of an earlier life of the VM by its generation.
actor SessionPool {
    /// One session, or the attempt to make it.
    private final class Slot: Sendable {
        struct Use {
            var users = 0
            var lastUsed = ContinuousClock.now
            var session: VMSession?  // once the attempt has succeeded
            var isRetired = false  // lent to nobody any more
        }
        let generation: Int
        let attempt: Task<VMSession, any Error>
        let use = Mutex(Use())

        init(generation: Int, attempt: Task<VMSession, any Error>) {
            self.generation = generation
            self.attempt = attempt
        }
    }

    private let capacity: Int
    private let logger: Logger
    private var slots: [EnvironmentID: Slot] = [:]

    init(capacity: Int, logger: Logger) {
        self.capacity = capacity
        self.logger = logger
    }

    /// Lends a live session to the VM, connecting if there is none; `connection` is asked for only then.
    /// Throws what connecting throws (`SSHError`), and what `connection` and `body` throw. A session on which `body`
    /// has waited in vain (`timeout`) is lent to nobody after that, and closed when the last who has it is done.
    nonisolated func withSession<Result>(
        to environment: Environment, by connection: @Sendable @escaping () async throws -> EnvironmentConnection,
        _ body: (VMSession) async throws -> Result
    ) async throws -> Result {
        let slot = await slot(for: environment, connection)
        do {
            let session: VMSession
            do {
                session = try await slot.attempt.value
            } catch {
                await forget(slot, of: environment.id)
                throw error
            }
            slot.use.withLock { $0.session = session }
            let result = try await body(session)
            await release(slot)
            return result
        } catch {
            if let error = error as? SSHError, error.code == .timeout { await retire(slot, of: environment.id) }
            await release(slot)
            throw error
        }
    }

    private func release(_ slot: Slot) async {
        let unwanted: VMSession? = slot.use.withLock { use in
            use.users -= 1
            use.lastUsed = .now
            return use.isRetired && use.users == 0 ? use.session : nil
        }
        await unwanted?.ssh.close()
    }

    /// The connection may be dead and not known to be, or stuck at one opening, behind which all others wait.
    private func retire(_ slot: Slot, of id: EnvironmentID) {
        if slots[id] === slot { slots[id] = nil }
        slot.use.withLock { $0.isRetired = true }
    }

    /// The caller becomes one of the slot's users, and has to ``release(_:)`` it.
    private func slot(
        for environment: Environment, _ connection: @Sendable @escaping () async throws -> EnvironmentConnection
    ) async -> Slot {
        while let slot = slots[environment.id] {
            let session = slot.use.withLock { $0.session }
            var isUsable = slot.generation >= environment.generation
            if isUsable, let session { isUsable = session.ssh.isAlive }
            if isUsable {
                slot.use.withLock { $0.users += 1 }
                return slot
            }
            await forget(slot, of: environment.id)
        }
        // Not a child of the caller: others wait for it too, and must not fail because the first went away. Everyone
        // who is given the slot awaits it.
        let attempt = Task { [logger] in
            let connection = try await connection()
            let ssh = try await SSHSession.connect(to: connection.endpoint(), logger: logger)
            return VMSession(ssh: ssh, connection: connection)
        }
        let slot = Slot(generation: environment.generation, attempt: attempt)
        slot.use.withLock { $0.users += 1 }
        slots[environment.id] = slot
        await evictOldest()
        return slot
    }

    private func evictOldest() async {
        guard slots.count > capacity else { return }
        let idle = slots.compactMap { id, slot in
            slot.use.withLock { use in
                use.users == 0 && use.session != nil ? (id: id, slot: slot, lastUsed: use.lastUsed) : nil
            }
        }
        if let oldest = idle.min(by: { $0.lastUsed < $1.lastUsed }) { await forget(oldest.slot, of: oldest.id) }
    }

    private func forget(_ slot: Slot, of id: EnvironmentID) async {
        if slots[id] === slot { slots[id] = nil }
        await slot.use.withLock { $0.session }?.ssh.close()
    }

    var count: Int { slots.count }

    /// Closes every session, and waits for attempts under way to end.
    func close() async {
        let all = slots.values
        slots = [:]
        for slot in all {
            slot.attempt.cancel()
            if case .success(let session) = await slot.attempt.result { await session.ssh.close() }
        }
    }
}
