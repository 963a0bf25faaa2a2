/// How provider `ovh` reaches its project. The names are those of OVH's own clients.
package struct OVHSettings: Sendable {
    package var endpoint: String
    package var applicationKey: String?
    package var applicationSecret: String?
    package var consumerKey: String?
    package var project: String?
    package var region: String
    package var sshPort: Int  // of every instance

    init(_ layers: [SettingsLayer]) throws(OperatorError) {
        func first<Value>(_ key: KeyPath<SettingsLayer, Value?>) -> Value? {
            for layer in layers { if let value = layer[keyPath: key] { return value } }
            return nil
        }
        endpoint = first(\.ovhEndpoint) ?? "ovh-eu"
        applicationKey = first(\.ovhApplicationKey)
        applicationSecret = first(\.ovhApplicationSecret)
        consumerKey = first(\.ovhConsumerKey)
        project = first(\.ovhProject)
        region = first(\.ovhRegion) ?? "GRA11"
        sshPort = first(\.ovhSSHPort) ?? 22
        guard (1...65_535).contains(sshPort) else {
            throw OperatorError(
                .invalidSetting, "\(sshPort) is no port to reach instances at.", hint: "Leave OVH_SSH_PORT out.")
        }
    }

    /// What there is no default for.
    package struct Complete: Sendable {
        package let endpoint: String
        package let applicationKey: String
        package let applicationSecret: String
        package let consumerKey: String
        package let project: String
    }

    /// Throws `invalid_setting`, naming all that is missing.
    package func complete() throws(OperatorError) -> Complete {
        guard let applicationKey, let applicationSecret, let consumerKey, let project else {
            let missing = [
                ("OVH_APPLICATION_KEY", applicationKey), ("OVH_APPLICATION_SECRET", applicationSecret),
                ("OVH_CONSUMER_KEY", consumerKey), ("OVH_CLOUD_PROJECT_SERVICE", project),
            ].filter { $0.1 == nil }.map(\.0)
            throw OperatorError(
                .invalidSetting, "Provider 'ovh' lacks \(missing.joined(separator: ", ")).",
                hint: "Make keys at https://eu.api.ovh.com/createToken/; 'martlet dev ovh-simulator' needs none.")
        }
        return Complete(
            endpoint: endpoint, applicationKey: applicationKey, applicationSecret: applicationSecret,
            consumerKey: consumerKey, project: project)
    }
}
