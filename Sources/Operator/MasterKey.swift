import Cryptography
import Foundation

/// The key everything secret in the database is sealed with. Without it the database's secrets are lost.
package enum MasterKey {
    /// From the text if one is given, else from the file; a file that is missing is made if `mayCreate`. Throws
    /// `key_unusable`.
    package static func load(text: String?, file: String, mayCreate: Bool) throws -> [UInt8] {
        if let text { return try parse(text, place: "MARTLET_MASTER_KEY") }
        if FileManager.default.fileExists(atPath: file) {
            return try parse(try read(file), place: "'\(file)'")
        }
        guard mayCreate else {
            throw OperatorError(
                .keyUnusable, "There is no master key at '\(file)'.",
                hint: "Give that of the installation by MARTLET_MASTER_KEY_FILE; 'martlet up' makes one.")
        }
        let key = try Random.bytes(32)
        // Linked into place, so that of two who make one at once both use the one that came first.
        let new = "\(file).\(ProcessInfo.processInfo.processIdentifier)"
        unlink(new)
        let descriptor = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw OperatorError.unusable(new, errno) }
        let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        try handle.write(contentsOf: Data("\(hexadecimal(key))\n".utf8))
        try handle.synchronize()
        try handle.close()
        defer { unlink(new) }
        guard link(new, file) == 0 || errno == EEXIST else { throw OperatorError.unusable(file, errno) }
        return try parse(try read(file), place: "'\(file)'")
    }

    private static func read(_ file: String) throws -> String {
        let mode = (try? FileManager.default.attributesOfItem(atPath: file)[.posixPermissions]) as? Int ?? 0
        guard mode & 0o077 == 0 else {
            throw OperatorError(.keyUnusable, "Others may read the master key '\(file)'.", hint: "chmod 600 '\(file)'")
        }
        guard let text = try? String(contentsOfFile: file, encoding: .utf8) else {
            throw OperatorError(.keyUnusable, "The master key '\(file)' cannot be read.", hint: "Is it yours?")
        }
        return text
    }

    private static func parse(_ text: String, place: String) throws -> [UInt8] {
        let digits = Array(text.trimmingCharacters(in: .whitespacesAndNewlines).utf8)
        var key: [UInt8] = []
        for index in stride(from: 0, to: digits.count - 1, by: 2) {
            guard let byte = UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16) else { break }
            key.append(byte)
        }
        guard digits.count == 64, key.count == 32 else {
            throw OperatorError(
                .keyUnusable, "The master key in \(place) is not 64 hexadecimal digits.",
                hint: "Restore it from a backup: the secrets in the database open with no other.")
        }
        return key
    }
}
