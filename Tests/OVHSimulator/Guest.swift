import EventLoop
import Foundation

/// What stands behind an instance's address.
package enum Guests: Sendable {
    /// A program that greets like an SSH server and hangs up: enough for whoever only looks whether one is there.
    case greeting
    /// A machine of its own (``Machine``). Needs root.
    case machines
}

/// An instance as seen from the network: a listener at its address while it runs, and what answers there.
actor Guest {
    private let address: String
    private let port: Int
    private let machine: Machine?
    private let loop: EventLoop
    private var serving: Task<Void, any Error>?

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(address: String, port: Int, machine: Machine?) {
        self.address = address
        self.port = port
        self.machine = machine
        loop = .next()
    }

    /// Boots it. Does nothing if it runs.
    func start() async throws {
        guard serving == nil else { return }
        let listener = try Listener(host: address, port: port)
        serving = Task { try await serve(listener) }  // awaited by stop()
        do {
            try await machine?.boot()
        } catch {
            await stop()
            throw error
        }
    }

    /// Takes its power away. Does nothing if it does not run.
    func stop() async {
        guard let task = serving else { return }
        serving = nil
        task.cancel()
        await machine?.halt()
        _ = await task.result
    }

    private func serve(_ listener: Listener) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            while true {
                let connection = try await listener.accept(on: loop)
                if let machine {
                    group.addTask { await machine.converse(connection) }
                } else {
                    let greeting = Array("SSH-2.0-OVHSimulator\r\n".utf8)
                    send(connection, greeting, greeting.count, Int32(MSG_NOSIGNAL))
                    close(connection)
                }
            }
        }
    }
}
