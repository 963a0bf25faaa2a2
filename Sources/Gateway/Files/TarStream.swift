import Execution
import Fleet
import Foundation
import NIOCore
import SSH

/// Writes a directory as a tar archive (POSIX.1-2001, pax where ustar is too small), file by file as it is read.
struct TarStream {
    let stream: ResponseStream
    let files: HomeFiles
    private(set) var skipped = 0  // what cannot be read, and pipes and the like

    private static let block = 512
    private static let largestPlain: UInt64 = 1 << 33  // eleven octal digits

    init(stream: ResponseStream, files: HomeFiles) {
        self.stream = stream
        self.files = files
    }

    /// Writes all of it but the archive's end.
    mutating func write(_ root: HomePath, as name: [UInt8]) async throws {
        var skipped = 0
        try await stream.write(Self.header(name + [0x2f], kind: "5", mode: 0o755, size: 0, modified: 0, target: []))
        try await files.walk(root) { entry, place in
            var path = name
            for part in entry.path.parts.dropFirst(root.parts.count) { path += [0x2f] + part }
            let (mode, modified) = (entry.attributes.mode, entry.attributes.modified)
            switch entry.attributes.kind {
            case .directory:
                try await stream.write(
                    Self.header(path + [0x2f], kind: "5", mode: mode, size: 0, modified: modified, target: []))
            case .link:
                guard let target = entry.target else { return skipped += 1 }
                try await stream.write(
                    Self.header(path, kind: "2", mode: 0o777, size: 0, modified: modified, target: target))
            case .other: skipped += 1
            case .file:
                do {
                    try await files.withEntry(entry, at: place) { info, file in
                        try await write(info, file, as: path)
                    }
                } catch let error as ServiceError where [.fileForbidden, .fileNotFound].contains(error.code) {
                    skipped += 1  // only opening throws these
                }
            }
        }
        self.skipped = skipped
    }

    private func write(_ info: FileInfo, _ file: SFTPFile, as path: [UInt8]) async throws {
        try await stream.write(
            Self.header(
                path, kind: "0", mode: info.attributes.mode, size: info.size, modified: info.attributes.modified,
                target: []))
        await file.seek(reading: 0, to: info.size)
        var left = info.size
        while left > 0 {
            guard let bytes = try await file.read() else { throw FileShrank(path: info.path) }
            try await stream.write(ByteBuffer(bytes: bytes))
            left -= UInt64(bytes.count)
        }
        try await stream.write(Self.padding(info.size))
    }

    /// Two blocks of zeros.
    static var end: ByteBuffer { ByteBuffer(repeating: 0, count: 2 * block) }

    private static func padding(_ size: UInt64) -> ByteBuffer {
        ByteBuffer(repeating: 0, count: (block - Int(size % UInt64(block))) % block)
    }

    // MARK: Headers

    static func header(
        _ path: [UInt8], kind: Unicode.Scalar, mode: UInt32, size: UInt64, modified: UInt32, target: [UInt8]
    ) -> ByteBuffer {
        var records: [UInt8] = []
        func add(_ key: String, _ value: [UInt8]) {
            // "length key=value\n", the length's own digits included.
            let rest = [0x20] + Array(key.utf8) + [0x3d] + value + [0x0a]
            var length = rest.count + 1
            while "\(length)".utf8.count + rest.count != length { length = "\(length)".utf8.count + rest.count }
            records += Array("\(length)".utf8) + rest
        }
        let isText = String(validating: path, as: UTF8.self) != nil && String(validating: target, as: UTF8.self) != nil
        let isLong = path.count > 100
        if !isText { add("hdrcharset", Array("BINARY".utf8)) }
        if isLong || path.contains(where: { $0 > 0x7f }) { add("path", path) }
        if target.count > 100 || target.contains(where: { $0 > 0x7f }) { add("linkpath", target) }
        if size >= largestPlain { add("size", Array("\(size)".utf8)) }
        var buffer = ByteBuffer()
        if !records.isEmpty {
            buffer.writeBytes(
                plain(
                    Array("pax".utf8), kind: "x", mode: 0o644, size: UInt64(records.count), modified: modified,
                    target: []))
            buffer.writeBytes(records)
            var padding = padding(UInt64(records.count))
            buffer.writeBuffer(&padding)
        }
        buffer.writeBytes(
            plain(
                Array(path.prefix(100)), kind: kind, mode: mode, size: size < largestPlain ? size : 0,
                modified: modified, target: Array(target.prefix(100))))
        return buffer
    }

    private static func plain(
        _ name: [UInt8], kind: Unicode.Scalar, mode: UInt32, size: UInt64, modified: UInt32, target: [UInt8]
    ) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: Self.block)
        func put(_ bytes: some Sequence<UInt8>, at offset: Int) {
            for (index, byte) in bytes.enumerated() { block[offset + index] = byte }
        }
        func octal(_ number: UInt64, _ digits: Int) -> [UInt8] {
            let text = String(number, radix: 8)
            return Array((String(repeating: "0", count: max(0, digits - text.count)) + text).utf8)
        }
        put(name, at: 0)
        put(octal(UInt64(mode & 0o7777), 7), at: 100)
        put(octal(1_000, 7), at: 108)
        put(octal(1_000, 7), at: 116)
        put(octal(size, 11), at: 124)
        put(octal(UInt64(modified), 11), at: 136)
        put([UInt8](repeating: 0x20, count: 8), at: 148)
        block[156] = UInt8(kind.value)
        put(target, at: 157)
        put("ustar\u{0}00".utf8, at: 257)
        put("martlet".utf8, at: 265)
        put("martlet".utf8, at: 297)
        let sum = block.reduce(0) { $0 + UInt64($1) }
        put(octal(sum, 6) + [0, 0x20], at: 148)
        return block
    }
}
