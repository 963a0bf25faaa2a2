import EventLoop
import Foundation
import Testing

@testable import Cryptography

@Suite struct SSHPublicKeyTests {
    private static func blob(_ parts: [UInt8]...) -> [UInt8] {
        parts.flatMap { part in withUnsafeBytes(of: UInt32(part.count).bigEndian) { Array($0) } + part }
    }

    private static func line(_ algorithm: String, _ blob: [UInt8], _ rest: String = "") -> String {
        "\(algorithm) \(Data(blob).base64EncodedString())\(rest)"
    }

    private static let ed25519 = blob(Array("ssh-ed25519".utf8), [UInt8](repeating: 7, count: 32))

    private static func fault(_ text: String) -> SSHPublicKey.Fault? {
        do {
            _ = try SSHPublicKey(text)
            return nil
        } catch {
            return error
        }
    }

    /// Against ssh-keygen: whatever it makes is read, with its own fingerprint.
    @Test(arguments: [
        ["ed25519"], ["ecdsa", "-b", "256"], ["ecdsa", "-b", "384"], ["ecdsa", "-b", "521"], ["rsa", "-b", "2048"],
        ["rsa", "-b", "3072"],
    ])
    func whatOpenSSHMakesIsRead(kind: [String]) async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "keys-\(UUID())").path()
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let made = try await ChildProcess.run(
            .init("ssh-keygen", ["-q", "-N", "", "-C", "me at home", "-f", "\(directory)/key", "-t"] + kind),
            deadline: .seconds(60))
        #expect(made.ending.isSuccess, "\(made.errorText)")
        let text = try String(contentsOfFile: "\(directory)/key.pub", encoding: .utf8)
        let key = try SSHPublicKey(text)
        #expect(key.comment == "me at home" && text.hasPrefix(key.text + " "))
        let shown = try await ChildProcess.run(
            .init("ssh-keygen", ["-l", "-f", "\(directory)/key.pub"]), deadline: .seconds(10))
        #expect(shown.text.contains(" \(key.fingerprint) "), "\(shown.text)")

        let secret = try String(contentsOfFile: "\(directory)/key", encoding: .utf8)
        #expect(Self.fault(secret) == .privateKey)
    }

    @Test func securityKeysAreRead() throws {
        let application = Array("ssh:".utf8)
        let name = "sk-ssh-ed25519@openssh.com"
        let key = try SSHPublicKey(
            Self.line(name, Self.blob(Array(name.utf8), [UInt8](repeating: 1, count: 32), application)))
        #expect(key.algorithm == .securityKeyEd25519)
        #expect(Self.fault(Self.line(name, Self.blob(Array(name.utf8), [UInt8](repeating: 1, count: 32)))) == .mismatch)
    }

    @Test func aLineThatIsMoreThanAKeyIsRefused() {
        let good = Self.line("ssh-ed25519", Self.ed25519)
        #expect(Self.fault(good + " laptop\n") == nil)
        #expect(Self.fault("  \(good)\tlaptop  ") == nil)
        #expect(Self.fault(good + "\n" + good) == .severalLines)
        #expect(Self.fault(good + " a\rcommand=\"x\" " + good) == .severalLines)
        #expect(Self.fault(good + " a\0b") == .severalLines)
        #expect(Self.fault("command=\"sh\" \(good)") == .options)
        #expect(Self.fault("cert-authority \(good)") == .options)
        #expect(Self.fault("") == .unknownAlgorithm)
        #expect(Self.fault("ssh-ed25519") == .unknownAlgorithm)
        #expect(Self.fault(Self.line("ssh-dss", Self.blob(Array("ssh-dss".utf8), [1]))) == .unknownAlgorithm)
        #expect(Self.fault(String(repeating: "a", count: 8_193)) == .tooLong)
        #expect(Self.fault("-----BEGIN OPENSSH PRIVATE KEY-----") == .privateKey)
    }

    @Test func aBlobIsWhatItsAlgorithmSaysAndNotAByteMore() {
        let ed25519 = Self.ed25519
        for bytes in [
            ed25519 + [0], Array(ed25519.dropLast()),
            Self.blob(Array("ssh-rsa".utf8), [UInt8](repeating: 7, count: 32)),
            Self.blob(Array("ssh-ed25519".utf8), [UInt8](repeating: 7, count: 31)),
            Self.blob(Array("ssh-ed25519".utf8), [UInt8](repeating: 7, count: 33)), [], [0, 0, 0, 255, 1],
            [255, 255, 255, 255],
        ] {
            let fault = Self.fault(Self.line("ssh-ed25519", bytes))
            #expect(fault == .mismatch || (bytes.isEmpty && fault == .unknownAlgorithm), "\(bytes)")
        }
        let text = Data(ed25519).base64EncodedString()
        #expect(Self.fault("ssh-ed25519 \(text.dropLast())") == .notBase64)
        #expect(Self.fault("ssh-ed25519 \(text)!") == .notBase64)
        #expect(Self.fault("ssh-ed25519 \(text)=") == .notBase64)

        let curve = "ecdsa-sha2-nistp256"
        func point(_ curveName: String, _ first: UInt8, _ count: Int) -> String {
            Self.line(
                curve,
                Self.blob(Array(curve.utf8), Array(curveName.utf8), [first] + [UInt8](repeating: 3, count: count)))
        }
        #expect(Self.fault(point("nistp256", 4, 64)) == nil)
        for bad in [point("nistp384", 4, 64), point("nistp256", 2, 32), point("nistp256", 4, 63)] {
            #expect(Self.fault(bad) == .mismatch)
        }
    }

    @Test func anRSAKeyIsLongEnoughAndWrittenInOneWay() {
        func rsa(_ exponent: [UInt8], _ modulus: [UInt8]) -> SSHPublicKey.Fault? {
            Self.fault(Self.line("ssh-rsa", Self.blob(Array("ssh-rsa".utf8), exponent, modulus)))
        }
        let modulus = [0] + [UInt8](repeating: 0xC1, count: 256)
        #expect(rsa([1, 0, 1], modulus) == nil)
        #expect(rsa([1, 0, 1], [0] + [UInt8](repeating: 0xC1, count: 128)) == .rsaLength(1_024))
        #expect(rsa([1, 0, 1], [UInt8](repeating: 0x41, count: 256)) == .rsaLength(2_047))
        #expect(rsa([1, 0, 1], [0] + [UInt8](repeating: 0xC1, count: 2_049)) == .rsaLength(16_392))
        for (exponent, modulus) in [
            ([1], modulus), ([2], modulus), ([], modulus), ([0, 3], modulus), ([0x81], modulus),
            ([1, 0, 1], Array(modulus.dropFirst())), ([1, 0, 1], [0] + modulus), ([1, 0, 1], []),
            ([1, 0, 1], modulus.dropLast() + [2]),
        ] as [([UInt8], [UInt8])] {
            #expect(rsa(exponent, modulus) == .mismatch, "\(exponent)")
        }
    }
}
