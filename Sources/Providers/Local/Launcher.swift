import EventLoop
import Foundation

/// Starts the container of a VM, by one process that becomes one program after the other.
///
/// The runner (`assemble`) enters the control group, makes a private mount namespace and a control group namespace,
/// assembles the tree in it and becomes `crun run --detach`. Where runs may have a network it becomes `martlet-egress`
/// first, which leaves a process outside of the VM, in its control group, for as long as the VM lives.
/// When crun has ended, only the VM's own namespaces hold what was mounted: it vanishes with the VM, and the machine
/// never sees it.
struct Launcher: Sendable {
    static let environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"]

    struct MountFailed: Error, CustomStringConvertible {
        var description: String { "Its home could not be mounted" }
    }

    let directory: VMDirectory
    let configuration: LocalProvider.Configuration
    let group: ControlGroup
    let mounts: [AssemblyStep]
    /// Who moves what runs send to the internet; `nil`: nothing is moved.
    let egressUser: UInt32?

    /// Returns when the container has been started. The descriptors are the VM's listener and the lock of its turn.
    func launch(listener: Int32, lock: Int32) async throws {
        unlink(directory.processIdentifier)
        // crun gives the standard streams to the VM's root (`chown`): none may be a device of the machine's.
        let input = open(directory.emptyInput, O_RDONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard input >= 0 else { throw Files.failure("make", directory.emptyInput, errno) }
        defer { close(input) }
        var command = ChildProcess.Command(configuration.runner, arguments)
        command.environment = Self.environment
        command.workingDirectory = "/"
        command.input = .descriptor(input)
        command.output = .appending(path: directory.log)
        command.error = .appending(path: directory.log)
        command.descriptors = [listener, lock]
        let child = try await ChildProcess.start(command)
        let ending: ChildProcess.Ending
        do {
            ending = try await withDeadline(configuration.startTimeout, "end of crun") { try await child.wait() }
        } catch {
            await child.send(.kill)
            throw error
        }
        if ending == .exited(32) { throw MountFailed() }
        guard ending.isSuccess else {
            throw ProviderError(.failed, "The launcher \(ending).", hint: "See the VM's log.")
        }
    }

    private var arguments: [String] {
        // The channel to the program outside takes descriptor 4, where the lock is until then.
        let moving = egressUser == nil ? [] : [AssemblyStep.copyDescriptor(4, to: 5)]
        let joining = group.joining
        let steps = joining.before + moving + [.unshare] + joining.after + mounts
        let egress =
            egressUser.map { user in
                [configuration.egress, "--descriptor", "4", "--user", String(user)]
                    + configuration.egressDenied.flatMap { ["--deny", $0] } + ["--"]
            } ?? []
        let crun = [
            configuration.crun, "--root=\(directory.runtimeState)", "--cgroup-manager=disabled", "run", "--detach",
            "--preserve-fds=\(egressUser == nil ? 1 : 2)", "--bundle=\(directory.bundle)",
            "--pid-file=\(directory.processIdentifier)", directory.name,
        ]
        return ["assemble"] + steps.flatMap(\.words) + ["--"] + egress + crun
    }
}

/// The VM's SSH port: a listener on this machine's loopback, made here and handed to the VM's init. It answers, out of
/// its backlog, from the moment it is made, and is gone with the last process that holds it.
struct LoopbackListener: ~Copyable {
    let descriptor: Int32
    let port: Int

    /// On the wanted port if that is free, else on a fresh one.
    init(preferring wanted: Int?) throws(ProviderError) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Files.failure("make", "a socket", errno) }
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        var isBound = false
        for port in [wanted ?? 0, 0] where !isBound {
            var address = SocketAddress.loopback(port: port)
            isBound = withSocketAddress(&address) { bind(descriptor, $0, $1) } == 0 && listen(descriptor, 128) == 0
        }
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = errno
        let isNamed = withSocketAddress(&address) { pointer, _ in getsockname(descriptor, pointer, &length) } == 0
        guard isBound, isNamed else {
            close(descriptor)
            throw Files.failure("listen on", "a loopback port", code)
        }
        self.descriptor = descriptor
        port = Int(UInt16(bigEndian: address.sin_port))
    }

    deinit { close(descriptor) }
}

/// An IPv4 address and a port.
struct SocketAddress {
    let value: sockaddr_in

    /// `nil` if the host is not in dotted form.
    init?(host: String, port: Int) {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        guard inet_pton(AF_INET, host, &address.sin_addr) == 1 else { return nil }
        address.sin_port = UInt16(truncatingIfNeeded: port).bigEndian
        value = address
    }

    static func loopback(port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        address.sin_port = UInt16(truncatingIfNeeded: port).bigEndian
        return address
    }
}

func withSocketAddress<Result>(
    _ address: inout sockaddr_in, _ body: (UnsafeMutablePointer<sockaddr>, socklen_t) -> Result
) -> Result {
    withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
}

/// Asks an SSH server for its first line.
actor BannerProbe {
    private let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(loop: EventLoop = .next()) { self.loop = loop }

    /// Whether the server on this port greets; `false` if it refuses, or closes without a word.
    /// - Parameter host: in dotted form.
    func isGreeted(host: String = "127.0.0.1", port: Int) async throws -> Bool {
        let descriptor = socket(
            AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw Files.failure("make", "a socket", errno) }
        defer { close(descriptor) }
        guard var address = SocketAddress(host: host, port: port)?.value else { return false }
        let connected = withSocketAddress(&address) { connect(descriptor, $0, $1) }
        guard connected == 0 || errno == EINPROGRESS else { return false }
        var greeting: [UInt8] = []
        while greeting.count < 4 {
            _ = try await loop.readiness(of: descriptor, for: .read)
            var buffer = [UInt8](repeating: 0, count: 256)
            let count = read(descriptor, &buffer, buffer.count)
            if count > 0 {
                greeting += buffer[..<count]
            } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
                return false
            }
        }
        // Who only wants to know calls itself a probe: OpenSSH (compat.c) ends at once, makes no process to shake hands
        // with nobody, and finds it worth a line for administrators only (LogLevel INFO).
        let farewell = Array("SSH-2.0-Probe-martlet\r\n".utf8)
        _ = write(descriptor, farewell, farewell.count)  // it is not waited for
        return greeting.starts(with: "SSH-".utf8)
    }
}
