/// An answer of the engine that says no. Told to whoever called as a ``ProviderError``; inside the room it decides
/// what to do next. The engine's messages are matched by pieces of them, and case is ignored: they are not its contract.
struct EngineFailure: Error, CustomStringConvertible {
    let status: Int
    let message: String
    let call: String  // method and path

    var description: String { "\(call): \(status) \(message)" }

    func says(_ pieces: String...) -> Bool {
        let text = message.lowercased()
        return pieces.contains { text.contains($0) }
    }

    var isMissing: Bool { status == 404 }
    var isConflict: Bool { status == 409 }

    /// The host port is another's: a container's, or some other program's.
    var isPortTaken: Bool { says("port is already allocated", "address already in use") }

    /// The storage cannot keep a size.
    var isQuotaRefused: Bool { says("storage-opt", "quota", "storage opt") }

    /// Something already does what was asked for.
    var isInProgress: Bool { isConflict && says("already in progress") }

    /// The container is on its way out.
    var isOfLeaving: Bool { says("marked for removal", "removal in progress") || isInProgress }

    func asProviderError(_ what: String) -> ProviderError {
        let hint =
            switch status {
            case 401, 403: "Let the engine allow it: see its log and authorization plug-ins."
            case 404: "Run 'martlet doctor'."
            case 507: "Free some space on the engine's disk."
            case _ where says("no space left"): "Free some space on the engine's disk."
            default: "See the engine's log."
            }
        return ProviderError(
            .failed, "\(what): \(message)", hint: hint, isRetryable: status >= 500 || isInProgress, cause: self)
    }
}
