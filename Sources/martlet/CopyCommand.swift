import ArgumentParser
import Client
import Foundation

struct CopyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cp",
        abstract: "Copy files to and from your VM or an environment.",
        discussion: """
            A path that begins with a colon is in the home of the VM's programs; ':' alone is the home. The VM is woken \
            if it sleeps. A file has its name only once it is whole, at either end.

            Examples:
              martlet cp data.csv :
              martlet cp a.py b.py :work/
              martlet cp :results/out.csv .
              martlet cp -r --environment env_ab12cd34 site :
            """)

    @OptionGroup var server: ClientOptions

    @Argument(
        help: ArgumentHelp("What is copied, and last where to.", valueName: "path"), completion: .file())
    var paths: [String]

    @Flag(name: .shortAndLong, help: "Directories with all that is in them; links in them are left out.")
    var recursive = false

    @Option(help: ArgumentHelp("The environment, by slug or id; by default your VM.", valueName: "slug"))
    var environment: String?

    @Flag(name: .shortAndLong, help: "Show no progress.")
    var quiet = false

    func validate() throws {
        guard paths.count >= 2 else { throw ValidationError("Say what to copy, and where to.") }
        let remote = paths.map { $0.hasPrefix(":") }
        guard let target = remote.last, remote.dropLast().allSatisfy({ $0 != target }) else {
            throw ValidationError("Either what is copied or where to is in the VM: write ':' before its path.")
        }
    }

    func run() async throws {
        let copy = FileCopy(
            files: RemoteFiles(client: try server.client(), environment: environment), isRecursive: recursive,
            progress: TransferProgress(isShown: !quiet && isatty(2) == 1))
        let sources = paths.dropLast()
        let target = paths[paths.count - 1]
        do {
            if target.hasPrefix(":") {
                try await copy.send(sources.map { Array($0.utf8) }, to: String(target.dropFirst()))
            } else {
                try await copy.fetch(sources.map { RemotePath($0.dropFirst().utf8) }, to: Array(target.utf8))
            }
            await copy.progress.end()
        } catch let error as LocalFileError {
            await copy.progress.end()
            throw ValidationError(error.description)
        } catch {
            await copy.progress.end()
            throw error
        }
    }
}

/// Copies any number of files one after another.
private struct FileCopy: Sendable {
    let files: RemoteFiles
    let isRecursive: Bool
    let progress: TransferProgress
    let local = LocalFiles()

    // MARK: Up

    func send(_ sources: [[UInt8]], to text: String) async throws {
        let target = RemotePath(text.utf8)
        let isDirectory = try await files.isDirectory(target)
        if !isDirectory, sources.count > 1 || text.hasSuffix("/") {
            throw ValidationError("'\(target.shown)' is no directory in the VM.")
        }
        for source in sources {
            let name = Self.name(of: source)
            try await send(source, to: isDirectory && !name.isEmpty ? target.appending(name) : target)
        }
    }

    private func send(_ source: [UInt8], to target: RemotePath) async throws {
        switch try await local.kind(source) {
        case nil: throw ValidationError("There is no '\(Self.shown(source))'.")
        case .other: try await leaveOut(source)
        case .file(let size):
            try await files.send(source, size: size, to: target) {
                await progress.show(Self.shown(source), $0, of: size)
            }
        case .directory:
            guard isRecursive else { throw ValidationError("'\(Self.shown(source))' is a directory: say -r.") }
            try await files.makeDirectory(target)
            for name in try await local.names(in: source) {
                let inside = source + [UInt8(ascii: "/")] + name
                if try await local.isLink(inside) {
                    try await leaveOut(inside)
                } else {
                    try await send(inside, to: target.appending(name))
                }
            }
        }
    }

    // MARK: Down

    func fetch(_ sources: [RemotePath], to target: [UInt8]) async throws {
        var isDirectory = false
        if case .directory? = try await local.kind(target) { isDirectory = true }
        guard isDirectory || (sources.count == 1 && target.last != UInt8(ascii: "/")) else {
            throw ValidationError("'\(Self.shown(target))' is no directory.")
        }
        for source in sources {
            let name = source.name
            try await fetch(source, to: isDirectory && !name.isEmpty ? Self.join(target, name) : target)
        }
    }

    private func fetch(_ source: RemotePath, to target: [UInt8]) async throws {
        if try await files.isDirectory(source) {
            guard isRecursive else { throw ValidationError("'\(source.shown)' is a directory: say -r.") }
            return try await fetchDirectory(source, to: target)
        }
        try await fetchFile(source, to: target)
    }

    private func fetchFile(_ source: RemotePath, to target: [UInt8]) async throws {
        try await files.fetch(source, to: target) { done, size in await progress.show(source.shown, done, of: size) }
    }

    private func fetchDirectory(_ source: RemotePath, to target: [UInt8]) async throws {
        try await local.makeDirectory(target)
        for entry in try await files.list(source) {
            // The server says names; they are not to lead elsewhere here.
            let name = entry.path.name
            guard name != [0x2e, 0x2e], name != [0x2e], !name.isEmpty, !name.contains(0) else { continue }
            switch entry.type {
            case "file": try await fetchFile(source.appending(name), to: Self.join(target, name))
            case "directory": try await fetchDirectory(source.appending(name), to: Self.join(target, name))
            default: try await leaveOut(source.appending(name).bytes)
            }
        }
    }

    // MARK: Names

    private func leaveOut(_ path: [UInt8]) async throws {
        await progress.end()
        try await printNote("left out: \(Self.shown(path)) is no file and no directory")
    }

    private static func join(_ directory: [UInt8], _ name: [UInt8]) -> [UInt8] {
        directory + (directory.last == UInt8(ascii: "/") ? [] : [UInt8(ascii: "/")]) + name
    }

    /// Nothing for what has no name of its own: `.`, `..` and `/`.
    private static func name(of path: [UInt8]) -> [UInt8] {
        let name = Array(path.split(separator: UInt8(ascii: "/")).last ?? [])
        return name == [0x2e] || name == [0x2e, 0x2e] ? [] : name
    }

    private static func shown(_ path: [UInt8]) -> String {
        TerminalText.visible(String(decoding: path, as: UTF8.self))
    }
}

/// A line on standard error that says how far a file is, written again and again; at most ten times a second.
private actor TransferProgress {
    private let isShown: Bool
    private var file = ""
    private var began = ContinuousClock.now
    private var shownAt: ContinuousClock.Instant?
    private var isLineOpen = false

    init(isShown: Bool) { self.isShown = isShown }

    func show(_ name: String, _ done: UInt64, of size: UInt64) async {
        guard isShown else { return }
        let now = ContinuousClock.now
        if name != file {
            await end()
            (file, began, shownAt) = (name, now, nil)
        }
        guard done == size || shownAt.map({ now - $0 > .milliseconds(100) }) ?? true else { return }
        shownAt = now
        let rate = Double(done) / max(0.001, (now - began) / .seconds(1)) / 1_000_000
        let percent = size == 0 ? 100 : done * 100 / size
        let line = String(format: "\r%3d %%  %8.1f MB  %7.1f MB/s  ", Int(percent), Double(done) / 1e6, rate) + name
        isLineOpen = true
        try? await StandardOutput().write(Array("\(line)\u{1B}[K".utf8), to: .error)
    }

    /// Leaves the line as it stands.
    func end() async {
        guard isLineOpen else { return }
        isLineOpen = false
        try? await StandardOutput().write([UInt8(ascii: "\n")], to: .error)
    }
}
