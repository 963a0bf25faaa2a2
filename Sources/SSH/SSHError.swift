/// Why a connection, a channel or what was done with them failed. ``code`` is the contract: added to, never renamed.
package struct SSHError: Error, CustomStringConvertible {
    package enum Code: String, CaseIterable, Sendable {
        case connectFailed = "connect_failed"  // no TCP connection, or no SSH server at its end
        case hostKeyMismatch = "host_key_mismatch"  // the server is not the one that was pinned
        case authenticationFailed = "authentication_failed"  // the server does not accept the key
        case channelRefused = "channel_refused"  // the connection is fine; this channel was not opened
        case channelClosed = "channel_closed"  // by its other end, or here
        case connectionLost = "connection_lost"  // and with it every channel
        case uploadFailed = "upload_failed"  // the server would not write the file
        case timeout
        case `protocol`  // what the server said makes no sense
    }

    package let code: Code
    package let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// What to do about it.
    package var hint: String {
        switch code {
        case .connectFailed: "Check that the machine runs and that its SSH port is reachable."
        case .hostKeyMismatch: "Do not connect: another machine answers at this address, or it was made anew."
        case .authenticationFailed: "Check that the machine's authorized_keys holds the public key of its environment."
        case .channelRefused: "Check that the program listens in the machine and that sshd allows forwarding."
        case .channelClosed: "The program at the other end has ended or hung up."
        case .connectionLost: "Connect again; what ran over the connection may have ended with it."
        case .uploadFailed: "Check the free space and the permissions of the directory in the machine."
        case .timeout: "The machine is overloaded or the network is slow; try again."
        case .protocol: "Check which program answers on the SSH port."
        }
    }

    /// The same, with what it happened to in front.
    func at(_ place: String) -> SSHError { SSHError(code, "\(place): \(message)") }

    package var description: String { "\(code.rawValue): \(message)" }
}
