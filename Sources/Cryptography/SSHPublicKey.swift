import Foundation

/// The public half of a key that somebody logs in with by SSH: `ssh-ed25519 AAAA… comment`, as `ssh-keygen` writes it.
///
/// Read strictly, for it becomes a line of a file that an SSH server obeys: one line, no options before the key, a blob that
/// holds what its algorithm says and not a byte more, in the one form of base64 that encodes it. Kinds: Ed25519, ECDSA on the
/// NIST curves, RSA of 2048 to 16384 bits, and the first two on security keys.
package struct SSHPublicKey: Hashable, Sendable {
    package enum Algorithm: String, CaseIterable, Sendable {
        case ed25519 = "ssh-ed25519"
        case ecdsa256 = "ecdsa-sha2-nistp256"
        case ecdsa384 = "ecdsa-sha2-nistp384"
        case ecdsa521 = "ecdsa-sha2-nistp521"
        case rsa = "ssh-rsa"
        case securityKeyEd25519 = "sk-ssh-ed25519@openssh.com"
        case securityKeyECDSA = "sk-ecdsa-sha2-nistp256@openssh.com"
    }

    /// Why a text is none. No case holds any of it: what was pasted may be a private key.
    package enum Fault: Error, Hashable, Sendable {
        case privateKey
        case severalLines
        case tooLong
        case options  // or another word before the algorithm
        case unknownAlgorithm
        case notBase64
        case mismatch  // the blob is not of the algorithm before it, is cut, or goes on
        case rsaLength(Int)  // bits
    }

    package let algorithm: Algorithm
    /// RFC 4253, section 6.6.
    package let blob: [UInt8]
    /// What follows the key on its line; maybe nothing.
    package let comment: String

    /// Bytes of a line; a key of RSA with 16384 bits takes 2.8 KB.
    package static let longest = 8_192

    package init(_ text: String) throws(Fault) {
        guard text.utf8.count <= Self.longest else { throw .tooLong }
        guard !text.contains("PRIVATE KEY") else { throw .privateKey }
        let line = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !line.unicodeScalars.contains(where: { $0.properties.generalCategory == .control && $0 != "\t" }) else {
            throw .severalLines
        }
        let words = line.split(maxSplits: 2, omittingEmptySubsequences: true) { $0 == " " || $0 == "\t" }
        guard let first = words.first, words.count >= 2 else { throw .unknownAlgorithm }
        guard let algorithm = Algorithm(rawValue: String(first)) else {
            let isBehindOptions = Algorithm.allCases.contains { line.contains("\($0.rawValue) AAAA") }
            throw isBehindOptions ? .options : .unknownAlgorithm
        }
        let encoded = String(words[1])
        guard let data = Data(base64Encoded: encoded), data.base64EncodedString() == encoded else { throw .notBase64 }
        let blob = [UInt8](data)
        try Self.check(blob, algorithm)
        self.algorithm = algorithm
        self.blob = blob
        comment = words.count > 2 ? words[2].trimmingCharacters(in: .whitespaces) : ""
    }

    /// Algorithm and key, without a comment.
    package var text: String { "\(algorithm.rawValue) \(Data(blob).base64EncodedString())" }

    /// As `ssh-keygen -l` shows it: `SHA256:` and the digest in base64 without padding.
    package var fingerprint: String {
        let digest = Data(SHA256.hash(blob)).base64EncodedString()
        return "SHA256:" + digest.prefix { $0 != "=" }
    }

    // MARK: Blobs

    private static func check(_ blob: [UInt8], _ algorithm: Algorithm) throws(Fault) {
        var rest = blob[...]
        guard let name = string(&rest), name.elementsEqual(algorithm.rawValue.utf8) else { throw .mismatch }
        switch algorithm {
        case .ed25519: try checkEd25519(&rest)
        case .ecdsa256: try checkPoint(&rest, curve: "nistp256", coordinate: 32)
        case .ecdsa384: try checkPoint(&rest, curve: "nistp384", coordinate: 48)
        case .ecdsa521: try checkPoint(&rest, curve: "nistp521", coordinate: 66)
        case .rsa: try checkRSA(&rest)
        case .securityKeyEd25519:
            try checkEd25519(&rest)
            try checkApplication(&rest)
        case .securityKeyECDSA:
            try checkPoint(&rest, curve: "nistp256", coordinate: 32)
            try checkApplication(&rest)
        }
        guard rest.isEmpty else { throw .mismatch }
    }

    /// RFC 8709, section 4.
    private static func checkEd25519(_ rest: inout ArraySlice<UInt8>) throws(Fault) {
        guard let key = string(&rest), key.count == 32 else { throw .mismatch }
    }

    /// RFC 5656, section 3.1; a point that is not compressed.
    private static func checkPoint(
        _ rest: inout ArraySlice<UInt8>, curve: String, coordinate: Int
    ) throws(Fault) {
        guard let name = string(&rest), name.elementsEqual(curve.utf8), let point = string(&rest), point.first == 4,
            point.count == 1 + 2 * coordinate
        else { throw .mismatch }
    }

    /// RFC 4253, section 6.6: exponent and modulus.
    private static func checkRSA(_ rest: inout ArraySlice<UInt8>) throws(Fault) {
        guard let exponent = number(&rest), let modulus = number(&rest), exponent.count <= 8,
            exponent.last.map({ $0 & 1 == 1 }) == true, exponent != [1], modulus.last.map({ $0 & 1 == 1 }) == true,
            let top = modulus.first
        else { throw .mismatch }
        let bits = modulus.count * 8 - top.leadingZeroBitCount
        guard (2_048...16_384).contains(bits) else { throw .rsaLength(bits) }
    }

    /// PROTOCOL.u2f in the OpenSSH sources: what the key was made for, such as `ssh:`.
    private static func checkApplication(_ rest: inout ArraySlice<UInt8>) throws(Fault) {
        guard let application = string(&rest), (1...1_024).contains(application.count) else { throw .mismatch }
    }

    /// A string of RFC 4251, section 5.
    private static func string(_ rest: inout ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        guard rest.count >= 4 else { return nil }
        let length = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
        guard rest.count - 4 >= length else { return nil }
        defer { rest = rest.dropFirst(4 + length) }
        return rest.dropFirst(4).prefix(length)
    }

    /// An `mpint` of RFC 4251, section 5, that is positive and has no byte too many; without the zero before a sign bit.
    private static func number(_ rest: inout ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        guard let bytes = string(&rest), let top = bytes.first, top & 0x80 == 0 else { return nil }
        guard top == 0 else { return bytes }
        let magnitude = bytes.dropFirst()
        return magnitude.first.map { $0 & 0x80 != 0 } == true ? magnitude : nil
    }
}
