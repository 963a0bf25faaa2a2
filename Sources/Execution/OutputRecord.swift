import Fleet

/// The first bytes of each stream, for the history.
struct OutputRecord: Sendable {
    static let limit = 64 << 10

    private(set) var stdout: [UInt8] = []
    private(set) var stderr: [UInt8] = []
    private(set) var stdoutBytes = 0
    private(set) var stderrBytes = 0

    mutating func add(_ bytes: [UInt8], to stream: ExecutionEvent.Stream) {
        switch stream {
        case .stdout:
            stdoutBytes += bytes.count
            stdout.append(contentsOf: bytes.prefix(Self.limit - stdout.count))
        case .stderr:
            stderrBytes += bytes.count
            stderr.append(contentsOf: bytes.prefix(Self.limit - stderr.count))
        }
    }
}
