{{/* Contradictory values, each with a message that says what to do. Included by the server's Deployment. */}}
{{- define "tradecast.validate" -}}
{{- $wrong := list -}}
{{- $v := .Values -}}
{{- if and $v.redis.bundled.enabled $v.redis.existingSecret -}}
{{- $wrong = append $wrong "redis.existingSecret and redis.bundled.enabled are both set: set redis.bundled.enabled=false to use your own Redis." -}}
{{- end -}}
{{- $several := or (gt (int $v.replicaCount) 1) (ne $v.autoscaling.mode "none") -}}
{{- if and $several (not (include "tradecast.usesRedis" .)) -}}
{{- $wrong = append $wrong "several servers need Redis to form one fleet: set redis.existingSecret, or replicaCount=1 and autoscaling.mode=none." -}}
{{- end -}}
{{- if eq $v.mode "demo" -}}
{{- if not (include "tradecast.usesRedis" .) -}}
{{- $wrong = append $wrong "mode=demo needs Redis for its feed: leave redis.bundled.enabled=true or set redis.existingSecret." -}}
{{- end -}}
{{- if $v.mongodb.existingSecret -}}
{{- $wrong = append $wrong "mode=demo lets everybody in as one of its users, without a password, and must not write sessions to your MongoDB: set mode=production, or leave mongodb.existingSecret empty." -}}
{{- end -}}
{{- end -}}
{{- if and (eq $v.mode "production") $v.redis.bundled.enabled -}}
{{- $wrong = append $wrong "mode=production with the bundled Redis would lose every session and subscription with one pod: set redis.existingSecret and redis.bundled.enabled=false." -}}
{{- end -}}
{{- if and (eq $v.mode "production") (not (or $v.redis.existingSecret $v.mongodb.existingSecret)) -}}
{{- $wrong = append $wrong "mode=production needs a session store: set mongodb.existingSecret or redis.existingSecret." -}}
{{- end -}}
{{- if and (eq $v.sessions.store "mongodb") (not $v.mongodb.existingSecret) -}}
{{- $wrong = append $wrong "sessions.store=mongodb needs mongodb.existingSecret." -}}
{{- end -}}
{{- if and (eq $v.sessions.store "redis") (not (include "tradecast.usesRedis" .)) -}}
{{- $wrong = append $wrong "sessions.store=redis needs redis.existingSecret." -}}
{{- end -}}
{{- if and $v.sessions.requireSigned (not $v.sessions.existingSecret) -}}
{{- $wrong = append $wrong "sessions.requireSigned needs sessions.existingSecret, which holds SESSION_SECRETS." -}}
{{- end -}}
{{- range $kind := list "autoscaling" "kubernetes" "cluster" -}}
{{- range splitList "\n" (include (printf "tradecast.%sFaults" $kind) $) -}}
{{- with trim . -}}{{- $wrong = append $wrong . -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.ingress.enabled $v.ingress.tls.enabled (not $v.ingress.tls.secretName) (not $v.ingress.annotations) -}}
{{- $wrong = append $wrong "ingress.tls.enabled needs ingress.tls.secretName, or an annotation that names the certificate's source." -}}
{{- end -}}
{{- if and $v.ingress.tls.enabled (not $v.ingress.host) -}}
{{- $wrong = append $wrong "ingress.tls.enabled needs ingress.host." -}}
{{- end -}}
{{- $socketPath := include "tradecast.socketPath" . -}}
{{- if and $v.ingress.enabled (not (include "tradecast.rewrites" .)) (not (hasPrefix (printf "%s/" (trimSuffix "/" $v.ingress.path)) $socketPath)) -}}
{{- $wrong = append $wrong (printf "ingress.path=%s does not lead to Socket.IO at %s: set server.socketPath=%s%s, or ingress.annotations with which your controller strips the prefix." $v.ingress.path $socketPath (trimSuffix "/" $v.ingress.path) "/socket.io/") -}}
{{- end -}}
{{- if and $v.httpRoute.enabled (not (hasPrefix (printf "%s/" (trimSuffix "/" $v.httpRoute.path)) $socketPath)) -}}
{{- $wrong = append $wrong (printf "httpRoute.path=%s does not lead to Socket.IO at %s: set server.socketPath=%s%s." $v.httpRoute.path $socketPath (trimSuffix "/" $v.httpRoute.path) "/socket.io/") -}}
{{- end -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) (not $v.gateway.enabled) -}}
{{- $wrong = append $wrong "httpRoute.enabled needs httpRoute.parentRefs, or gateway.enabled=true." -}}
{{- end -}}
{{- if and $v.gateway.enabled (not $v.gateway.className) -}}
{{- $wrong = append $wrong "gateway.enabled needs gateway.className." -}}
{{- end -}}
{{- if and $v.server.internalTlsSecret (not (include "tradecast.forwards" .)) -}}
{{- $wrong = append $wrong "server.internalTlsSecret is for requests that servers forward to each other: it needs Redis, and server.transports with polling or empty." -}}
{{- end -}}
{{- if and $v.server.internalRequireTls (not $v.server.internalTlsSecret) -}}
{{- $wrong = append $wrong "server.internalRequireTls needs server.internalTlsSecret." -}}
{{- end -}}
{{- if and $v.redis.tlsClientCertificate (not $v.redis.tlsSecret) -}}
{{- $wrong = append $wrong "redis.tlsClientCertificate needs redis.tlsSecret." -}}
{{- end -}}
{{- if and (eq $v.mode "demo") (eq $v.service.type "LoadBalancer") -}}
{{- $wrong = append $wrong "mode=demo lets everybody in as one of its users, without a password, and is not for a LoadBalancer: set mode=production, or use kubectl port-forward." -}}
{{- end -}}
{{- if and $v.metrics.podMonitor.enabled $v.metrics.serviceMonitor.enabled -}}
{{- $wrong = append $wrong "metrics.podMonitor and metrics.serviceMonitor would each scrape every server, which doubles all sums: enable one of them." -}}
{{- end -}}
{{- if and $v.gateway.enabled (not $v.httpRoute.enabled) -}}
{{- $wrong = append $wrong "gateway.enabled creates a Gateway without a route: set httpRoute.enabled=true." -}}
{{- end -}}
{{- if and $v.service.nodePort (eq $v.service.type "ClusterIP") -}}
{{- $wrong = append $wrong "service.nodePort needs service.type=NodePort or LoadBalancer." -}}
{{- end -}}
{{- if and $v.redis.bundled.enabled $v.redis.tlsSecret -}}
{{- $wrong = append $wrong "redis.tlsSecret is for your own Redis, the bundled one has no TLS: set redis.existingSecret and redis.bundled.enabled=false." -}}
{{- end -}}
{{- if and (or $v.mongodb.tlsSecret $v.mongodb.database) (not $v.mongodb.existingSecret) -}}
{{- $wrong = append $wrong "mongodb.database and mongodb.tlsSecret need mongodb.existingSecret." -}}
{{- end -}}
{{- if and $v.redis.clusterSecret (not (include "tradecast.usesRedis" .)) -}}
{{- $wrong = append $wrong "redis.clusterSecret is for a Redis Cluster beside one Redis: set redis.existingSecret, or redis.bundled.enabled=true." -}}
{{- end -}}
{{- $adapter := dig "redisAdapter" dict $v.operator.fleet -}}
{{- if and $v.operator.enabled (eq (dig "apply" "" $adapter) "roll") (eq (dig "mode" "" $adapter) "single") (or $several (gt (int $v.autoscaling.maxReplicas) 1)) -}}
{{- $wrong = append $wrong "operator.fleet.redisAdapter.apply=roll with mode=single needs replicaCount=1, autoscaling.mode=none and autoscaling.maxReplicas=1: servers in mode single receive no events from each other." -}}
{{- end -}}
{{- if include "tradecast.tunesAdapter" . -}}
{{- if ne (include "tradecast.adapterConfigMap" .) (include "tradecast.tunedConfigMap" .) -}}
{{- $wrong = append $wrong "operator.fleet.redisAdapter.apply=figures and roll write a ConfigMap of the operator's own: leave adapter.configMap empty, and put your own settings into operator.fleet.redisAdapter.pinned." -}}
{{- end -}}
{{- range $v.server.extraEnv -}}
{{- if eq .name "ADAPTER_MODE" -}}
{{- $wrong = append $wrong "operator.fleet.redisAdapter.apply=figures and roll set ADAPTER_MODE of the servers: leave it out of server.extraEnv (server.settings.ADAPTER_MODE applies until the operator sets a mode)." -}}
{{- end -}}
{{- end -}}
{{- if ne (get ($v.adapter | default dict) "key" | default "adapter.yaml") "adapter.yaml" -}}
{{- $wrong = append $wrong "operator.fleet.redisAdapter.apply=figures and roll write the key adapter.yaml: leave adapter.key unchanged." -}}
{{- end -}}
{{- end -}}
{{- range $name := list "HOST" "PORT" "ADMIN_HOST" "ADMIN_PORT" "INTERNAL_HOST" "INTERNAL_PORT" "ADVERTISED_ADDRESS" "POD_NAME" "POD_UID" "FLEET_REVISION" -}}
{{- if hasKey ($v.server.settings | default dict) $name -}}
{{- $wrong = append $wrong (printf "server.settings.%s is set by the chart and cannot be overridden." $name) -}}
{{- end -}}
{{- end -}}
{{- range $name := list "REDIS_URL" "REDIS_CLUSTER_URL" "REDIS_PASSWORD" "REDIS_SENTINEL_PASSWORD" "MONGODB_URI" "SESSION_SECRETS" "API_TOKEN" "ADMIN_TOKEN" "SENTRY_DSN" -}}
{{- if hasKey ($v.server.settings | default dict) $name -}}
{{- $wrong = append $wrong (printf "server.settings.%s would put a secret into a ConfigMap: use the existingSecret for it, or server.extraEnv with a secretKeyRef." $name) -}}
{{- end -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n\n  %s\n" (join "\n  " $wrong)) -}}
{{- end -}}
{{- end -}}
