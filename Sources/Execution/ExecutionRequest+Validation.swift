import Fleet

extension ExecutionRequest {
    /// Bounds on what surrounds the code. The kernel takes no single argument or variable over 128 KiB (execve(2),
    /// MAX_ARG_STRLEN); the totals keep a request well inside what a process can be started with.
    enum Bounds {
        static let string = 128 << 10
        static let argumentsAndVariables = 1 << 20
        static let files = 256
        static let path = 1_024
        static let pathComponent = 255
    }

    /// The limits this run gets: what it asks for, else the runtime's figures, else the tier's.
    /// Throws `limit_exceeded` or `invalid_request`, naming the field.
    func resolvedLimits(tier: Tier, runtime: RuntimeCatalog.Runtime) throws(ServiceError) -> ExecutionLimits {
        let ceiling = tier.executionCeiling
        let defaults = tier.executionDefaults
        func checked(_ value: Int?, _ field: String, _ ceiling: Int) throws(ServiceError) -> Int? {
            guard let value else { return nil }
            guard value > 0 else {
                throw ServiceError(
                    .invalidRequest, "'\(field)' is \(value); it must be positive.",
                    hint: "Leave it out for the default.")
            }
            guard value <= ceiling else {
                throw ServiceError(
                    .limitExceeded, "'\(field)' is \(value); tier '\(tier.rawValue)' allows at most \(ceiling).",
                    hint: "Ask for less, or ask an admin for a larger tier.")
            }
            return value
        }
        let timeoutMs =
            try checked(limits.timeoutMs, "timeoutMs", ceiling.timeoutMs)
            ?? min(max(runtime.limits?.timeoutMs ?? 0, defaults.timeoutMs), ceiling.timeoutMs)
        return ExecutionLimits(
            timeoutMs: timeoutMs,
            memoryMb: try checked(limits.memoryMb, "limits.memoryMb", ceiling.memoryMb)
                ?? min(max(runtime.limits?.memoryMb ?? 0, defaults.memoryMb), ceiling.memoryMb),
            cpuMs: try checked(limits.cpuMs, "limits.cpuMs", ceiling.cpuMs) ?? timeoutMs * tier.vcpus,
            outputBytes: try checked(limits.outputBytes, "limits.outputBytes", ceiling.outputBytes)
                ?? defaults.outputBytes,
            processes: try checked(limits.processes, "limits.processes", ceiling.processes)
                ?? min(max(runtime.limits?.processes ?? 0, defaults.processes), ceiling.processes))
    }

    /// Throws `invalid_request`, naming the field, unless arguments, variables and files can be handed to a process.
    func checkSurroundings() throws(ServiceError) {
        var total = 0
        for (index, argument) in arguments.enumerated() {
            try check(argument, "args[\(index)]")
            total += argument.utf8.count + 1
        }
        for (name, value) in environmentVariables {
            guard !name.isEmpty, !name.utf8.contains(UInt8(ascii: "=")) else {
                throw Self.invalid(
                    "env", "holds the name '\(name.prefix(64))'", "A variable's name is not empty and has no '='.")
            }
            try check(name, "env")
            try check(value, "env.\(name)")
            total += name.utf8.count + value.utf8.count + 2
        }
        guard total <= Bounds.argumentsAndVariables else {
            throw Self.invalid(
                "args and env", "take \(total) bytes together",
                "At most \(Bounds.argumentsAndVariables); send more as a file or on stdin.")
        }
        guard files.count <= Bounds.files else {
            throw Self.invalid("files", "holds \(files.count) entries", "At most \(Bounds.files); send an archive.")
        }
        var paths: Set<[UInt8]> = []  // not of String, to which two files are one where their names only look the same
        for (index, file) in files.enumerated() {
            try checkPath(file.path, "files[\(index)].path")
            guard paths.insert(Array(file.path.utf8)).inserted else {
                throw Self.invalid("files[\(index)].path", "repeats '\(file.path)'", "Name each file once.")
            }
        }
    }

    /// Throws `network_denied` if it asks for more than its runs may have there.
    func checkNetwork(in environment: Environment) throws(ServiceError) {
        guard network == .egress, !environment.network else { return }
        throw ServiceError(
            .networkDenied, "Runs in environment '\(environment.slug)' may not use the network.",
            hint: "Leave 'network' out, or ask an admin for a larger tier or quota.")
    }

    private func check(_ text: String, _ field: String) throws(ServiceError) {
        guard !text.utf8.contains(0) else {
            throw Self.invalid(field, "holds a NUL byte", "No process can be given one; use a file or stdin.")
        }
        guard text.utf8.count < Bounds.string else {
            throw Self.invalid(
                field, "takes \(text.utf8.count) bytes", "At most \(Bounds.string - 1); use a file or stdin.")
        }
    }

    private func checkPath(_ path: String, _ field: String) throws(ServiceError) {
        let advice = "Use a relative path inside the working directory, like 'data/input.csv'."
        guard !path.isEmpty, path.utf8.count <= Bounds.path, !path.utf8.contains(0) else {
            throw Self.invalid(field, "is empty, too long or holds a NUL byte", advice)
        }
        guard !path.hasPrefix("/") else { throw Self.invalid(field, "is absolute: '\(path)'", advice) }
        for component in path.split(separator: "/", omittingEmptySubsequences: false) {
            switch component {
            case "..": throw Self.invalid(field, "leaves the working directory: '\(path)'", advice)
            case "", ".": throw Self.invalid(field, "is not in its shortest form: '\(path)'", advice)
            default: break
            }
            guard component.utf8.count <= Bounds.pathComponent else {
                throw Self.invalid(field, "has a part of over \(Bounds.pathComponent) bytes", advice)
            }
        }
    }

    private static func invalid(_ field: String, _ what: String, _ hint: String) -> ServiceError {
        ServiceError(.invalidRequest, "'\(field)' \(what).", hint: hint)
    }
}
