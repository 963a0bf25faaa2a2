import ArgumentParser
import Client
import Foundation

/// A length of time as people write it: `500ms`, `10s`, `2m`, `1h`, `30d`; a bare number is seconds.
struct TimeSpan: ExpressibleByArgument {
    let milliseconds: Int

    init?(argument: String) {
        let units: [(String, Double)] = [
            ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("", 1_000),
        ]
        for (unit, factor) in units where argument.hasSuffix(unit) {
            guard let number = Double(argument.dropLast(unit.count)), number > 0 else { continue }
            let milliseconds = (number * factor).rounded()
            guard milliseconds >= 1, milliseconds <= 1e15 else { return nil }
            self.milliseconds = Int(milliseconds)
            return
        }
        return nil
    }
}

/// The sizes of a machine; what is left out is not sent.
struct SizeOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Processors; as many as the tier says, or fewer.", valueName: "n")) var vcpus: Int?
    @Option(help: ArgumentHelp("Memory; as much as the tier says, or less.", valueName: "MB")) var memory: Int?
    @Option(help: ArgumentHelp("Disk; as much as the tier says, or less.", valueName: "MB")) var disk: Int?
}

/// Asks before what cannot be undone.
struct Confirmation: ParsableArguments {
    @Flag(name: .shortAndLong, help: "Do not ask.") var yes = false

    /// Returns if the user means it: said so by `--yes`, or types `yes`. Else throws.
    /// - Parameter deed: what would be done, without a full stop.
    func confirm(_ deed: String) async throws {
        if yes { return }
        guard StandardInput.isTerminal else { throw ValidationError("\(deed): confirm with --yes.") }
        try await StandardOutput().write(Array("\(deed). Type 'yes' to go on: ".utf8), to: .error)
        let typed = try await StandardInput().read(upTo: 64) ?? []
        guard String(decoding: typed, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines) == "yes" else {
            throw ExitCode(1)
        }
    }
}

/// The text of a file that a user names; `-` is standard input.
func readText(_ path: String) async throws -> String {
    let bytes: [UInt8]
    do {
        bytes =
            path == "-"
            ? try await StandardInput().readAll(limit: 1 << 20)
            : Array(try FileHandle(forReadingFrom: URL(filePath: path)).read(upToCount: 1 << 20) ?? Data())
    } catch {
        throw ValidationError("Cannot read '\(path)': \(error.localizedDescription)")
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
        throw ValidationError("'\(path)' is not text in UTF-8.")
    }
    return text
}
