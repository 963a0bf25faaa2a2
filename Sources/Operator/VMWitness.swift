import EventLoop
import Foundation

/// Looks from outside at a VM whose processes are this machine's: what is there between two runs, and whether something
/// was left. For provider `local`, and `docker` where its engine is here. Needs root.
///
/// At rest a VM is its runner, the runner's keeper with what waits for runs, and SSH sessions. Each thing that waits is an
/// init and one process, where it has namespaces. All else is left over.
package actor VMWitness {
    private let runner: Int32  // the VM's first process, or the first below the engine's own
    private let server: Int32?  // `martlet up`, where it is known
    private var before: State?

    /// Bounds of what may differ: pools grow, allocators keep, sessions come and go.
    private enum Slack {
        static let descriptors = 64
        static let bytes = 96 << 20
        static let diskBytes = 2 << 20
        static let files = 64
        static let tmpfsBytes = 64 << 10
    }

    private struct State {
        var strangers: [String] = []
        var supervisors = 0
        var mounts = 0
        var ownMounts = 0
        var runnerDescriptors = 0
        var serverDescriptors = 0
        var memory = 0
        var tmpfs: [String: Int] = [:]
        var homeBytes = 0
        var homeFiles = 0
    }

    /// - Parameters:
    ///   - name: the VM's host name.
    ///   - server: the process of `martlet up`.
    /// Nil if its processes are not to be seen from here.
    package init?(vm name: String, server: Int32?) {
        let candidates = Process.all().filter { process in
            process.command == "martlet-runner"
                && Self.text("/proc/\(process.id)/root/etc/hostname").trimmingCharacters(in: .whitespacesAndNewlines)
                    == name
        }
        let known = Set(candidates.map(\.id))
        guard let first = candidates.first(where: { !known.contains($0.parent) }) else { return nil }
        runner = first.id
        self.server = server
    }

    package func look() { before = state() }

    package func differences() async -> [String] {
        guard let before else { return [] }
        var found: [String] = []
        for _ in 0..<40 {
            found = differences(before, state())
            if found.isEmpty { return [] }
            try? await Task.sleep(for: .milliseconds(50))  // what is about to end may take a moment
        }
        return found
    }

    private func differences(_ before: State, _ now: State) -> [String] {
        var found = Set(now.strangers).subtracting(before.strangers).map { "left a process: \($0)" }
        func compare(_ what: String, _ before: Int, _ now: Int, slack: Int) {
            if now > before + slack { found.append("\(what): \(before) before, \(now) after") }
        }
        // Gateways keep two connections open for the calls that come next.
        compare("supervisors", before.supervisors, now.supervisors, slack: 2)
        compare("mounts of the VM", before.mounts, now.mounts, slack: 0)
        compare("mounts of the machine", before.ownMounts, now.ownMounts, slack: 0)
        compare("descriptors of the runner", before.runnerDescriptors, now.runnerDescriptors, slack: 2)
        compare(
            "descriptors of the server", before.serverDescriptors, now.serverDescriptors, slack: Slack.descriptors)
        compare("memory of the VM", before.memory, now.memory, slack: Slack.bytes)
        compare("bytes of the home", before.homeBytes, now.homeBytes, slack: Slack.diskBytes)
        compare("files of the home", before.homeFiles, now.homeFiles, slack: Slack.files)
        for (path, bytes) in now.tmpfs {
            compare("bytes of \(path)", before.tmpfs[path] ?? 0, bytes, slack: Slack.tmpfsBytes)
        }
        return found.sorted()
    }

    // MARK: Looking

    private func state() -> State {
        let all = Process.all()
        var children: [Int32: [Process]] = [:]
        for process in all { children[process.parent, default: []].append(process) }
        func tree(_ id: Int32) -> [Process] { (children[id] ?? []).flatMap { [$0] + tree($0.id) } }

        var state = State()
        let parent = all.first { $0.id == runner }?.parent ?? 0
        let below = children[runner] ?? []
        state.supervisors = below.count { $0.command == "martlet-runner" }
        // In a container orphans become children of the engine's own init, beside the runner.
        let beside = all.first { $0.id == parent }?.command == "docker-init" ? tree(parent) : []
        let inside = tree(runner)
        let insideIDs = Set(inside.map(\.id))
        state.strangers += beside.filter { $0.id != runner && !insideIDs.contains($0.id) }.map(\.description)
        for child in below where child.command != "martlet-runner" && !child.command.hasPrefix("sshd") {
            state.strangers.append(child.description)
        }
        state.strangers += crowds(inside)
        state.strangers += inside.filter { $0.state == "Z" && $0.parent == runner }.map { "\($0) (not waited for)" }
        state.memory = inside.reduce(0) { $0 + Self.proportionalBytes($1.id) }

        state.mounts = Self.text("/proc/\(runner)/mountinfo").split(separator: "\n").count
        state.ownMounts = Self.text("/proc/self/mountinfo").split(separator: "\n").count
        state.runnerDescriptors = Self.names("/proc/\(runner)/fd").count
        state.serverDescriptors = server.map { Self.names("/proc/\($0)/fd").count } ?? 0
        for path in ["/tmp", "/var/tmp", "/dev/shm", "/run"] {
            state.tmpfs[path] = Self.use("/proc/\(runner)/root\(path)").bytes
        }
        let home = "/proc/\(runner)/root/home/martlet"
        if Self.device(home) != Self.device("/") { (state.homeBytes, state.homeFiles) = Self.use(home) }
        return state
    }

    /// Processes in namespaces that hold more than an init and one that waits.
    private func crowds(_ processes: [Process]) -> [String] {
        let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(runner)/ns/pid")
        var spaces: [String: [Process]] = [:]
        for process in processes {
            guard let space = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process.id)/ns/pid"),
                space != own
            else { continue }
            spaces[space, default: []].append(process)
        }
        return spaces.values.filter { $0.count > 2 }.flatMap { $0.map(\.description) }
    }

    /// Of the file system a path is on; a home on the machine's own is filled by others too.
    private static func device(_ path: String) -> UInt64? {
        var about = stat()
        return stat(path, &about) == 0 ? UInt64(about.st_dev) : nil
    }

    private static func use(_ path: String) -> (bytes: Int, files: Int) {
        var about = statvfs()
        guard statvfs(path, &about) == 0 else { return (0, 0) }
        return (Int(about.f_blocks - about.f_bfree) * Int(about.f_frsize), Int(about.f_files) - Int(about.f_ffree))
    }

    /// A page that processes share counts once for all of them.
    private static func proportionalBytes(_ process: Int32) -> Int {
        let text = text("/proc/\(process)/smaps_rollup")
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("Pss:") }) else { return 0 }
        return (line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) << 10
    }

    private static func text(_ path: String) -> String {
        FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    private static func names(_ path: String) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    }

    private struct Process: CustomStringConvertible {
        let id: Int32
        let parent: Int32
        let command: String
        let state: String

        var description: String { "\(command) (\(id))" }

        static func all() -> [Process] { VMWitness.names("/proc").compactMap { Int32($0) }.compactMap(Self.init(id:)) }

        init?(id: Int32) {
            let text = VMWitness.text("/proc/\(id)/stat")
            guard let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")") else { return nil }
            let fields = text[text.index(after: close)...].split(separator: " ")
            guard fields.count > 1, let parent = Int32(fields[1]) else { return nil }
            self.id = id
            self.parent = parent
            command = String(text[text.index(after: open)..<close])
            state = String(fields[0])
        }
    }
}
