/// The frames spoken with the runner inside a VM: little-endian `u8 type, u32 length, payload`
/// (sandbox/README.md, "Wire").
enum RunnerFrame {
    enum Command: UInt8 {
        case request = 1
        case stdin = 2
        case stdinEnd = 3
        case signal = 4
        case window = 5
        case taken = 6  // to a terminal
    }

    enum Kind: UInt8 {
        case started = 16
        case stdout = 17
        case stderr = 18
        case exit = 19
        case refused = 20
        case stdinCredit = 21
    }

    /// The most a frame from the runner may carry; a longer one means that we have lost step.
    static let maximumPayload = 1 << 20

    static func encode(_ command: Command, _ payload: some Collection<UInt8>) -> [UInt8] {
        var frame: [UInt8] = []
        frame.reserveCapacity(5 + payload.count)
        frame.append(command.rawValue)
        withUnsafeBytes(of: UInt32(payload.count).littleEndian) { frame.append(contentsOf: $0) }
        frame.append(contentsOf: payload)
        return frame
    }
}

/// What the runner said that is not a frame of the protocol.
struct RunnerProtocolError: Error, CustomStringConvertible {
    let description: String
}

/// Cuts the bytes of a channel into frames. Holds at most one incomplete frame and one read.
struct RunnerFrameDecoder {
    private var buffer: [UInt8] = []
    private var start = 0

    mutating func append(_ bytes: [UInt8]) {
        if start == buffer.count {
            buffer = bytes  // the usual case: nothing left over, nothing copied
        } else {
            buffer.removeSubrange(..<start)
            buffer.append(contentsOf: bytes)
        }
        start = 0
    }

    /// The next whole frame, or `nil` when more bytes are needed.
    mutating func next() throws(RunnerProtocolError) -> (kind: RunnerFrame.Kind, payload: [UInt8])? {
        guard buffer.count - start >= 5 else { return nil }
        var length = 0
        for index in (1...4).reversed() { length = length << 8 | Int(buffer[start + index]) }
        guard let kind = RunnerFrame.Kind(rawValue: buffer[start]), length <= RunnerFrame.maximumPayload else {
            throw RunnerProtocolError(description: "frame of type \(buffer[start]) and \(length) bytes")
        }
        let end = start + 5 + length
        guard buffer.count >= end else { return nil }
        defer { start = end }
        return (kind, Array(buffer[start + 5..<end]))
    }
}
