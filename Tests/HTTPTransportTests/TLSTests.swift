import EventLoop
import Foundation
import HTTPTransport
import Testing

@Suite(.timeLimit(.minutes(2))) struct TLSTests {
    @Test func onlyATrustedCertificateIsAccepted() async throws {
        let directory = NSTemporaryDirectory() + "martlet-tls-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let (certificate, key, log) = (directory + "/cert.pem", directory + "/key.pem", directory + "/log")
        let made = try await ChildProcess.run(
            .init(
                "openssl",
                [
                    "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
                    "-subj", "/CN=martlet test", "-addext", "subjectAltName=IP:127.0.0.1",
                ]), deadline: .seconds(30))
        try #require(made.ending.isSuccess, "\(made.errorText)")
        var command = ChildProcess.Command(
            "openssl", ["s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-key", key, "-www"])
        command.output = .appending(path: log)
        let server = try await ChildProcess.start(command)
        do {
            var port = ""
            try await eventually(
                "port in the server's log", { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" },
                is: { text in
                    guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("ACCEPT ") }) else {
                        return false
                    }
                    port = line.split(separator: ":").last.map(String.init) ?? ""
                    return true
                })
            let url = "https://127.0.0.1:\(port)/"
            let client = HTTPClient()
            let trusting = HTTPRequest("GET", url, tls: .init(caCertificate: certificate))
            #expect(try await client.send(trusting).status == 200)
            let error = await #expect(throws: HTTPTransportError.self) {
                try await client.send(HTTPRequest("GET", url))
            }
            #expect(error?.code == .tls)
        } catch { Issue.record(error) }
        await server.send(.kill)
        _ = try await server.wait()
    }
}
