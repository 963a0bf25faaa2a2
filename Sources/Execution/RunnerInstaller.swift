import Fleet
import Foundation
import Logging
import SSH

/// The runner as this machine has it: the program, and the folder of languages.
package struct RunnerFiles: Sendable {
    package var program: String
    package var runtimes: String

    package init(program: String, runtimes: String) {
        self.program = program
        self.runtimes = runtimes
    }

    private struct File: Encodable {
        let path: String
        let mode: Int
        let content: String
    }

    /// What `martlet-install` reads (sandbox/README.md, "Elsewhere"). The same files make the same bytes.
    func packed() throws(RunnerProtocolError) -> [UInt8] {
        func read(_ path: String, as name: String, mode: Int) throws(RunnerProtocolError) -> File {
            guard let data = FileManager.default.contents(atPath: path) else {
                throw RunnerProtocolError(description: "'\(path)' cannot be read, to be installed in the VM")
            }
            return File(path: name, mode: mode, content: data.base64EncodedString())
        }
        var files = [try read(program, as: "martlet-runner", mode: 0o755)]
        let folders = ((try? FileManager.default.contentsOfDirectory(atPath: runtimes)) ?? []).sorted()
        for folder in folders {
            let directory = "\(runtimes)/\(folder)"
            guard FileManager.default.fileExists(atPath: "\(directory)/runtime.json") else { continue }
            for name in ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted() {
                var isDirectory: ObjCBool = false  // as that of its checks
                let path = "\(directory)/\(name)"
                guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), !isDirectory.boolValue
                else { continue }
                files.append(try read(path, as: "runtimes/\(folder)/\(name)", mode: 0o644))
            }
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(["files": files]) else {
            throw RunnerProtocolError(description: "the runner's package cannot be encoded")
        }
        return [UInt8](data)
    }
}

/// Brings the runner to VMs that were made without it, when its port refuses: on the first connection to a fresh one, and
/// for one that boots and is not there yet, where it does no more than wait.
///
/// It logs in as `root` with the environment's key. Where VMs are made that way, that key runs `martlet-install` and
/// nothing else; elsewhere root does not let it in, and the refusal stands. Callers who want one VM's runner at once
/// share one installation.
actor RunnerInstaller {
    static let limit = Duration.seconds(120)

    private let files: RunnerFiles
    private let logger: Logger
    private var underWay: [EnvironmentID: Task<Bool, any Error>] = [:]

    init(files: RunnerFiles, logger: Logger) {
        self.files = files
        self.logger = logger
    }

    /// Returns when the runner listens; `false` if the VM is none that it can be brought to. Throws `SSHError` and
    /// ``RunnerProtocolError``.
    func install(in environment: Environment, by connection: EnvironmentConnection) async throws -> Bool {
        let task: Task<Bool, any Error>
        if let other = underWay[environment.id] {
            task = other
        } else {
            // Not a child of the caller: others wait for it too. It ends within the limit, whoever goes away.
            task = Task { [files, logger] in try await Self.install(files, by: connection, logger) }
            underWay[environment.id] = task
        }
        let result = await task.result
        if underWay[environment.id] == task { underWay[environment.id] = nil }
        let isInstalled = try result.get()
        if isInstalled { logger.info("runner installed", metadata: ["environment": "\(environment.id)"]) }
        return isInstalled
    }

    /// Calls `body`; where the runner's port refuses it, once more after an installation, which `onInstalling` is told
    /// of. Throws what `body` throws, the refusal also where the VM is none that the runner can be brought to.
    static func with<Result>(
        _ installer: RunnerInstaller?, in environment: Environment, by session: VMSession,
        onInstalling: @Sendable () async throws -> Void = {}, _ body: (VMSession) async throws -> Result
    ) async throws -> Result {
        do {
            return try await body(session)
        } catch let refusal as SSHError where refusal.code == .channelRefused {
            // Nothing of a run has begun: its channel is what was refused.
            guard let installer else { throw refusal }
            try await onInstalling()
            guard try await installer.install(in: environment, by: session.connection) else { throw refusal }
            return try await body(session)
        }
    }

    private static func install(
        _ files: RunnerFiles, by connection: EnvironmentConnection, _ logger: Logger
    ) async throws -> Bool {
        let session: SSHSession
        do {
            session = try await SSHSession.connect(to: connection.endpoint(user: "root"), logger: logger)
        } catch let error as SSHError where error.code == .authenticationFailed {
            return false
        }
        do {
            let result = try await session.exec("martlet-install", input: try files.packed(), deadline: limit)
            await session.close()
            guard result.status == 0 else {
                let text = String(decoding: result.error, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
                throw RunnerProtocolError(description: "the runner could not be installed: \(text.suffix(1_000))")
            }
            return true
        } catch {
            await Task { await session.close() }.value  // although this task may be cancelled
            throw error
        }
    }
}
