import EventLoop
import Foundation

/// Makes the tree of a small Debian 12 by the program `debootstrap`: a base for images where no registry is reached.
struct Debootstrap: Sendable {
    let sources: AptSources

    /// The tree as a compressed tar archive, some 70 MB. Its `sources.list` is of the same mirror.
    func archive(_ report: (String) async -> Void) async throws -> [UInt8] {
        guard geteuid() == 0 else {
            throw ProviderError(
                .unavailable, "A base can be made by debootstrap by root only.",
                hint: "Run it as root, or take a base from a registry (--base).")
        }
        let directory =
            FileManager.default.temporaryDirectory.path(percentEncoded: false)
            + "/martlet-image-\(UUID().uuidString)"
        try Files.makeDirectory(directory, mode: 0o700)
        do {
            let archive = try await make(in: directory, report)
            try await remove(directory)
            return archive
        } catch {
            await Task { try? await remove(directory) }.value  // although the caller may be cancelled
            throw error
        }
    }

    private func make(in directory: String, _ report: (String) async -> Void) async throws -> [UInt8] {
        let root = "\(directory)/root"
        try await run(
            "debootstrap", "--variant=minbase", "--include=ca-certificates", AptSources.release, root, sources.mirror,
            log: "\(directory)/log", report)
        try Files.write(sources.text, to: "\(root)/etc/apt/sources.list")
        await report("packing")
        let archive = "\(directory)/root.tar.gz"
        try await run(
            "tar", "--numeric-owner", "--exclude=./var/cache/apt/archives/*.deb", "--exclude=./var/lib/apt/lists/*_*",
            "--use-compress-program=gzip -1", "-C", root, "-cf", archive, ".", log: "\(directory)/log", report)
        guard let bytes = Files.bytes(of: archive) else { throw Files.failure("read", archive, errno) }
        return bytes
    }

    /// Runs it to its end, telling the newest line that it writes.
    private func run(
        _ program: String, _ arguments: String..., log: String, _ report: (String) async -> Void
    ) async throws {
        var command = ChildProcess.Command(program, arguments)
        command.environment = Launcher.environment.merging(
            ProcessInfo.processInfo.environment.filter { $0.key.lowercased().hasSuffix("_proxy") }
        ) { own, _ in own }
        command.output = .appending(path: log)
        command.error = .appending(path: log)
        command.endsWithParent = .terminate
        let child: ChildProcess
        do {
            child = try await ChildProcess.start(command)
        } catch let error as SpawnError {
            throw ProviderError(
                .unavailable, "\(program) cannot be run.", hint: "Install it: apt-get install debootstrap", cause: error
            )
        }
        let end = ContinuousClock.now + .seconds(1_800)
        do {
            while true {
                do {
                    let ending = try await withDeadline(.milliseconds(500), "end of \(program)") {
                        try await child.wait()
                    }
                    if ending.isSuccess { return }
                    throw ProviderError(
                        .failed, "\(program) \(ending): \(Files.tail(of: log, limit: 1_000))",
                        hint: "Is the mirror \(sources.mirror) right? Name another by --mirror.")
                } catch is DeadlineExceeded where ContinuousClock.now < end {
                    if let line = Files.tail(of: log, limit: 4_096).split(separator: "\n").last {
                        await report(String(line))
                    }
                }
            }
        } catch {
            await child.send(.kill)
            throw error
        }
    }

    private func remove(_ directory: String) async throws {
        _ = try await ChildProcess.run(
            .init("rm", ["-rf", "--one-file-system", directory]), deadline: .seconds(120), limit: 4096)
    }
}

/// Where Debian packages come from.
struct AptSources: Hashable, Sendable {
    static let release = "bookworm"
    static let standard = "http://deb.debian.org/debian"

    struct Source: Hashable, Sendable {
        let mirror: String
        let suite: String
    }

    let sources: [Source]

    var mirror: String { sources.first { $0.suite == Self.release }?.mirror ?? Self.standard }

    /// For `sources.list`.
    var text: String { sources.map { "deb \($0.mirror) \($0.suite) main\n" }.joined() }

    /// Those that this machine's own packages of the release come from; `mirror` for all, if one is given.
    static func ofThisMachine(mirror: String? = nil, directory: String = "/etc/apt") -> AptSources {
        if let mirror { return AptSources(sources: [Source(mirror: mirror, suite: release)]) }
        let parts = Files.names(in: "\(directory)/sources.list.d").map { "\(directory)/sources.list.d/\($0)" }
        var found: [Source] = []
        for path in ["\(directory)/sources.list"] + parts {
            guard let text = Files.text(of: path) else { continue }
            found += path.hasSuffix(".sources") ? deb822(text) : oneLine(text)
        }
        let suites = [release, "\(release)-updates", "\(release)-security"]
        let own = suites.compactMap { suite in found.first { $0.suite == suite } }
        return own.contains { $0.suite == release }
            ? AptSources(sources: own) : AptSources(sources: [Source(mirror: standard, suite: release)])
    }

    /// `deb [options] URI suite component…` (sources.list(5), "One-Line-Style Format")
    private static func oneLine(_ text: String) -> [Source] {
        text.split(separator: "\n").compactMap { line in
            let plain = line.replacing(/\[[^\]]*\]/, with: "").prefix { $0 != "#" }
            let words = plain.split(whereSeparator: \.isWhitespace).map(String.init)
            guard words.count >= 4, words[0] == "deb", words[3...].contains("main") else { return nil }
            return Source(mirror: words[1], suite: words[2])
        }
    }

    /// Paragraphs of fields (sources.list(5), "Deb822-Style Format")
    private static func deb822(_ text: String) -> [Source] {
        var fields: [String: [String]] = [:]
        var found: [Source] = []
        func close() {
            if fields["types"]?.contains("deb") == true, fields["components"]?.contains("main") == true,
                fields["enabled"]?.first != "no", let mirror = fields["uris"]?.first
            {
                found += (fields["suites"] ?? []).map { Source(mirror: mirror, suite: $0) }
            }
            fields = [:]
        }
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) where !line.hasPrefix("#") {
            if line.allSatisfy(\.isWhitespace) {
                close()
            } else if !line.hasPrefix(" "), let colon = line.firstIndex(of: ":") {
                fields[line[..<colon].lowercased()] = line[line.index(after: colon)...]
                    .split(whereSeparator: \.isWhitespace).map(String.init)
            }
        }
        close()
        return found
    }
}
