import Foundation

/// How this machine's control groups are laid out.
enum ControlGroupHierarchy: Sendable {
    /// Version 1 (also "hybrid"): a tree a controller. `unified`: where the controller-less version 2 is mounted.
    case separate(mounts: [String: String], unified: String?)
    /// Version 2: one tree for all.
    case unified(mount: String)

    static let controllers = ["memory", "cpu", "cpuacct", "pids"]

    /// `nil` if controllers are missing.
    static func detect(mountTable: String = Files.text(of: "/proc/mounts") ?? "") -> ControlGroupHierarchy? {
        var mounts: [String: String] = [:]
        var unified: String?
        for line in mountTable.split(separator: "\n") {
            let fields = line.split(separator: " ").map(String.init)
            guard fields.count >= 4 else { continue }
            if fields[2] == "cgroup2" { unified = unified ?? fields[1] }
            guard fields[2] == "cgroup" else { continue }
            for option in fields[3].split(separator: ",") where controllers.contains(String(option)) {
                mounts[String(option)] = fields[1]
            }
        }
        if ["memory", "cpu", "pids"].allSatisfy({ mounts[$0] != nil }) {
            return .separate(mounts: mounts, unified: unified)
        }
        guard let unified,
            let available = Files.text(of: unified + "/cgroup.controllers")?.split(whereSeparator: \.isWhitespace)
        else {
            return nil
        }
        let isComplete = ["memory", "cpu", "pids"].allSatisfy { available.contains(Substring($0)) }
        return isComplete ? .unified(mount: unified) : nil
    }

    /// Mount points, each once.
    var roots: [String] {
        switch self {
        case .separate(let mounts, _): Set(mounts.values).sorted()
        case .unified(let mount): [mount]
        }
    }
}

/// The control group of one VM: its limits, and the directory below it where the runner makes a group for each run.
///
/// The launcher enters it before it becomes anything else, so whatever a VM is made of is a member, and membership is
/// how a VM's processes are told from all others. Its own files stay root's: the VM sees its limits and cannot change
/// them. Version 2 lets a group hold either processes or controlled groups, so there the VM's init lives in `init`.
struct ControlGroup: Sendable {
    static let delegated = "runs"

    let hierarchy: ControlGroupHierarchy
    let path: String  // below each root: "/martlet/<scope>/<name>"

    private var directories: [String] { hierarchy.roots.map { $0 + path } }

    // MARK: Making

    /// Makes it afresh, with the limits. What was there must be without processes.
    func make(for spec: VMSpec, ids: VMDirectory.IDRange) throws(ProviderError) {
        try remove()
        for directory in directories { try makeWithAncestors(directory) }
        let bytes = spec.memoryMb << 20
        switch hierarchy {
        case .separate(let mounts, _):
            func set(_ controller: String, _ file: String, _ value: Int) throws(ProviderError) {
                guard let mount = mounts[controller] else { return }
                try Files.set("\(mount)\(path)/\(file)", to: String(value))
            }
            try set("memory", "memory.limit_in_bytes", bytes)
            if Files.exists("\(mounts["memory"] ?? "")\(path)/memory.memsw.limit_in_bytes") {
                try set("memory", "memory.memsw.limit_in_bytes", bytes)
            }
            try set("cpu", "cpu.cfs_period_us", 100_000)
            try set("cpu", "cpu.cfs_quota_us", spec.vcpus * 100_000)
            try set("pids", "pids.max", spec.allProcesses)
            for directory in directories {
                try Files.makeDirectory("\(directory)/\(Self.delegated)")
                try give("\(directory)/\(Self.delegated)", to: ids)
            }
        case .unified(let mount):
            let group = mount + path
            try Files.set("\(group)/memory.max", to: String(bytes))
            if Files.exists("\(group)/memory.swap.max") { try Files.set("\(group)/memory.swap.max", to: "0") }
            try Files.set("\(group)/cpu.max", to: "\(spec.vcpus * 100_000) 100000")
            try Files.set("\(group)/pids.max", to: String(spec.allProcesses))
            for part in ["init", Self.delegated] { try Files.makeDirectory("\(group)/\(part)") }
            let files = ["", "/cgroup.procs", "/cgroup.threads", "/cgroup.subtree_control"]
            for file in files + ["init", Self.delegated].flatMap({ part in files.map { "/\(part)\($0)" } }) {
                try give(group + file, to: ids)
            }
        }
    }

    /// Version 2 gives a group's children controllers only if each group above them says so.
    private func makeWithAncestors(_ directory: String) throws(ProviderError) {
        for _ in 0..<3 {  // another VM's removal may take an empty group above us away meanwhile
            do { try Files.makeDirectory(directory) } catch { continue }
            break
        }
        guard Files.isDirectory(directory) else { throw Files.failure("make control group", directory, ENOENT) }
        guard case .unified(let mount) = hierarchy else { return }
        var ancestor = mount
        for part in path.split(separator: "/") {
            try Files.set("\(ancestor)/cgroup.subtree_control", to: "+memory +cpu +pids")
            ancestor += "/\(part)"
        }
    }

    private func give(_ path: String, to ids: VMDirectory.IDRange) throws(ProviderError) {
        guard chown(path, ids.base, ids.base) == 0 else { throw Files.failure("change the owner of", path, errno) }
    }

    // MARK: Using

    /// What makes a process a member: the first before its cgroup namespace is made, whose root the group becomes;
    /// the second after.
    ///
    /// A thread that moves itself by `tasks` spares the kernel a lock over all processes (`cgroup_procs_write_start`
    /// in its `kernel/cgroup/cgroup.c`) that is worth 24 ms. Version 2 has no such file.
    var joining: (before: [AssemblyStep], after: [AssemblyStep]) {
        switch hierarchy {
        case .separate:
            (directories.map { .write("0", to: $0 + "/tasks") }, [])
        case .unified(let mount):
            (
                [.write("0", to: mount + path + "/cgroup.procs")],
                [
                    .write("0", to: mount + path + "/init/cgroup.procs"),
                    .write("+memory +cpu +pids", to: mount + path + "/cgroup.subtree_control"),
                ]
            )
        }
    }

    /// What of it is seen where in the VM.
    var guestMounts: [(source: String, destination: String)] {
        switch hierarchy {
        case .separate: hierarchy.roots.map { ($0 + path, "/sys/fs/cgroup/" + ($0 as NSString).lastPathComponent) }
        case .unified(let mount): [(mount + path, "/sys/fs/cgroup")]
        }
    }

    /// The delegated directories as the runner's configuration names them, seen from inside.
    var runnerConfiguration: [String: String] {
        switch hierarchy {
        case .separate(let mounts, _):
            mounts.filter { $0.key != "cpu" }
                .mapValues { "/sys/fs/cgroup/\(($0 as NSString).lastPathComponent)/\(Self.delegated)" }
        case .unified: ["unified": "/sys/fs/cgroup/\(Self.delegated)"]
        }
    }

    /// Whether the process lives, and lives in this VM.
    func holds(_ processIdentifier: pid_t) -> Bool {
        guard let groups = Files.text(of: "/proc/\(processIdentifier)/cgroup"),
            let status = Files.text(of: "/proc/\(processIdentifier)/stat"),
            let state = status[(status.lastIndex(of: ")") ?? status.startIndex)...].dropFirst(2).first, state != "Z"
        else { return false }
        return groups.split(separator: "\n").contains { $0.hasSuffix(path) || $0.contains(path + "/") }
    }

    /// Members at this moment, those of runs included.
    func members() -> Set<pid_t> {
        var members: Set<pid_t> = []
        for directory in directories {
            forEachGroup(in: directory) { group in
                for line in (Files.text(of: group + "/cgroup.procs") ?? "").split(separator: "\n") {
                    if let identifier = pid_t(line), identifier > 0 { members.insert(identifier) }
                }
            }
        }
        return members
    }

    // MARK: Removing

    /// Removes the empty group and those above it that are empty then. Fails while it has processes.
    func remove() throws(ProviderError) {
        for directory in directories where Files.isDirectory(directory) {
            var failed: (String, Int32)?
            forEachGroup(in: directory) { group in
                if rmdir(group) != 0, errno != ENOENT { failed = (group, errno) }
            }
            if let (group, code) = failed { throw Files.failure("remove control group", group, code) }
        }
    }

    /// Removes the groups above, where no other VM is left in them.
    func removeAncestors() {
        for root in hierarchy.roots {
            var ancestor = (path as NSString).deletingLastPathComponent
            while ancestor.count > 1 {
                if rmdir(root + ancestor) != 0 { break }
                ancestor = (ancestor as NSString).deletingLastPathComponent
            }
        }
    }

    /// Deepest first.
    private func forEachGroup(in directory: String, _ body: (String) -> Void) {
        for name in Files.names(in: directory) where Files.isDirectory("\(directory)/\(name)") {
            forEachGroup(in: "\(directory)/\(name)", body)
        }
        body(directory)
    }
}
