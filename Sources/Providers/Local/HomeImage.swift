import EventLoop
import Foundation
import Logging

/// The home of a VM: an ext4 file system of the tier's size in a sparse file, so that it is its own disk with its own
/// end. Mounted by the launcher in a mount namespace of the VM's own: it goes with the VM, however that ends. Where
/// there are no loop devices, a plain directory without a limit.
struct HomeImage: Sendable {
    let directory: VMDirectory
    let ids: VMDirectory.IDRange

    /// Whether the VM has an image; `nil` if it has no home at all.
    var isImage: Bool? {
        Files.exists(directory.homeImage) ? true : Files.isDirectory(directory.homeDirectory) ? false : nil
    }

    static var isSupported: Bool { access("/dev/loop-control", R_OK | W_OK) == 0 }

    func make(megabytes: Int, asImage: Bool) async throws {
        guard asImage else {
            try Files.makeDirectory(directory.homeDirectory, mode: 0o700)
            guard chown(directory.homeDirectory, ids.user, ids.user) == 0 else {
                throw Files.failure("change the owner of", directory.homeDirectory, errno)
            }
            return
        }
        let unfinished = directory.homeImage + ".new"
        unlink(unfinished)
        try resize(unfinished, to: megabytes)
        // Tables and journal stay holes: nothing is written for them, now or (mounted `noinit_itable`) later.
        try await run(
            "mkfs.ext4",
            "-q", "-m", "0", "-E",
            "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=\(ids.user):\(ids.user)",
            unfinished)
        try await run("debugfs", "-w", "-R", "rmdir lost+found", unfinished)
        guard rename(unfinished, directory.homeImage) == 0 else {
            throw Files.failure("rename", unfinished, errno)
        }
    }

    /// Makes it larger where the spec has grown; never smaller. Not while it is mounted.
    func grow(to megabytes: Int) async throws {
        guard let size = fileSystemSize, size < megabytes << 20 else { return }
        try await check()
        try resize(directory.homeImage, to: megabytes)
        try await run("resize2fs", directory.homeImage)
    }

    /// As the superblock has it (ext4 documentation, "Super Block"), so that a growth cut off is taken up again.
    private var fileSystemSize: Int? {
        let descriptor = open(directory.homeImage, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var block = [UInt8](repeating: 0, count: 1024)
        guard pread(descriptor, &block, 1024, 1024) == 1024 else { return nil }
        func word(_ offset: Int) -> Int { (0..<4).reduce(0) { $0 | Int(block[offset + $1]) << (8 * $1) } }
        guard block[0x38] == 0x53, block[0x39] == 0xef, word(0x18) <= 6 else { return nil }
        return (word(0x4) | (word(0x150) & 0xffff) << 32) << (10 + word(0x18))
    }

    /// Repairs what can be repaired without asking. Not while it is mounted.
    func check() async throws {
        // Exit codes 1 and 2 of e2fsck(8): errors were corrected.
        try await run("e2fsck", "-f", "-p", directory.homeImage, accepting: [0, 1, 2])
    }

    /// Whether a loop device still holds the file: for a moment after its VM has ended, the kernel unmounts late.
    var isInUse: Bool {
        let real = realPath(directory.homeImage)
        return Files.names(in: "/sys/block").contains { name in
            guard name.hasPrefix("loop"), let file = Files.text(of: "/sys/block/\(name)/loop/backing_file") else {
                return false
            }
            return file.trimmingCharacters(in: .newlines) == real
        }
    }

    private func resize(_ path: String, to megabytes: Int) throws(ProviderError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Files.failure("make", path, errno) }
        defer { close(descriptor) }
        guard ftruncate(descriptor, off_t(megabytes << 20)) == 0 else { throw Files.failure("resize", path, errno) }
    }

    private func run(_ program: String, _ arguments: String..., accepting codes: [Int32] = [0]) async throws {
        var command = ChildProcess.Command(program, arguments)
        command.environment = Launcher.environment
        let result: ChildProcess.Output
        do {
            result = try await ChildProcess.run(command, deadline: .seconds(120), limit: 4096)
        } catch let error as SpawnError {
            throw ProviderError(
                .unavailable, "\(program) cannot be run.", hint: "Install the Debian package e2fsprogs.", cause: error)
        }
        guard case .exited(let code) = result.ending, codes.contains(code) else {
            let text = result.errorText.trimmingCharacters(in: .whitespacesAndNewlines)
            throw ProviderError(
                .failed, "\(program) on the home of '\(directory.name)' \(result.ending): \(text)",
                hint: "Look at \(directory.homeImage).")
        }
    }
}

/// Without symbolic links, also where the last parts of the path do not exist yet.
func realPath(_ path: String) -> String {
    if let resolved = realpath(path, nil) {
        defer { free(resolved) }
        return String(cString: resolved)
    }
    let parent = (path as NSString).deletingLastPathComponent
    guard !parent.isEmpty, parent != path else { return path }
    return (realPath(parent) as NSString).appendingPathComponent((path as NSString).lastPathComponent)
}
