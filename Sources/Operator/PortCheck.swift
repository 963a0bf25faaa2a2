import Foundation

/// Whether a port can be listened on, asked before anything is started that would have to be stopped again.
package enum PortCheck {
    /// Throws `invalid_setting` if the address is not one of this machine or the port is taken.
    package static func check(host: String, port: Int) throws(OperatorError) {
        var hints = addrinfo()
        hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, String(port), &hints, &found) == 0, let address = found else {
            throw OperatorError(.invalidSetting, "'\(host)' is no address.", hint: "Give one with --host.")
        }
        defer { freeaddrinfo(found) }
        let descriptor = socket(address.pointee.ai_family, address.pointee.ai_socktype, 0)
        guard descriptor >= 0 else { return }  // whoever listens will say why not
        defer { close(descriptor) }
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        guard bind(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen) != 0 else { return }
        switch errno {
        case EADDRINUSE:
            throw OperatorError(
                .invalidSetting, "Port \(port) of \(host) is in use by another program.",
                hint: "Give another with --port, or 0 for any free one.")
        case EACCES:
            throw OperatorError(
                .invalidSetting, "Port \(port) is for root only.", hint: "Give one above 1023 with --port.")
        default:
            throw OperatorError(
                .invalidSetting, "\(host) port \(port) cannot be listened on: \(String(cString: strerror(errno))).",
                hint: "Give an address of this machine with --host.")
        }
    }
}
