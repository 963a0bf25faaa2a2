extension DockerProvider {
    /// Why VMs cannot be made with this engine, each with what to do; empty if nothing stands in the way. Changes nothing.
    package static func diagnose(configuration: Configuration) async -> [String] {
        let engine = EngineClient(address: configuration.engine)
        do {
            _ = try await engine.negotiated()
            var problems: [String] = []
            let information = try await engine.information()
            if let system = information.OSType, system != "linux" {
                return ["The Docker engine at \(configuration.engine) runs containers of \(system), not of Linux."]
            }
            let missing = [
                ("memory", information.memoryLimit), ("pids", information.pidsLimit), ("cpu", information.cpuCfsQuota),
            ].filter { $0.1 == false }.map(\.0)
            if !missing.isEmpty {
                problems.append(
                    "The machine of the Docker engine limits no \(missing.joined(separator: ", ")). Enable these control "
                        + "groups in its kernel.")
            }
            guard let image = try await engine.image(configuration.image) else {
                return problems + [sentence(VMImage.missing(configuration.image))]
            }
            do { try VMImage.check(image, named: configuration.image) } catch { problems.append(sentence(error)) }
            return problems
        } catch let error as ProviderError {
            return [sentence(error)]
        } catch {
            return ["The Docker engine at \(configuration.engine) does not work: \(error)"]
        }
    }

    /// What there is, in a line, once nothing stands in the way.
    package static func describe(configuration: Configuration) async -> String? {
        let engine = EngineClient(address: configuration.engine)
        guard let version = try? await engine.version(), let api = try? await engine.negotiated(),
            let information = try? await engine.information(), let image = try? await engine.image(configuration.image)
        else { return nil }
        return
            "Docker \(version.version) at \(configuration.engine) (API \(api), storage \(information.driver ?? "?"), "
            + "control groups \(information.cgroupVersion ?? "1") by \(information.cgroupDriver ?? "?")), image "
            + "\(configuration.image) with \(image.config?.labels?[VMImage.Label.runtimes] ?? "?")"
    }

    private static func sentence(_ error: ProviderError) -> String { "\(error.message) \(error.hint)" }
}
